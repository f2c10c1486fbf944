"""From nothing to a bot that runs: its settings, its App and credentials, its log, and a repository to work in."""
