"""The service: cli, service, web -> intake -> loop -> durable -> edge -> core -> runner.protocol.

A folder imports from those after it and from nobody before it; tests/test_imports.py reads the imports. Aside stand
`setup` (from nothing to a bot that runs), `hand` (the same measurement without a bot) and `hub` (a forge of our own).
"""
