"""The GPU side: trains one commit with one seed, and makes the number itself.

protocol <- bench -> sandbox, worker, score. Nothing here imports bot; bot imports only `runner.protocol`
and starts `python -m runner` as a process of its own, so that a crash in torch never takes the bot down.
"""
