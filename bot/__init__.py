"""The service. cli, web -> experiment, campaign -> edge -> core -> runner.protocol; a test reads the imports."""
