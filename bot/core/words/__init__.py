"""What people read: pull requests, comments, charts, answers. Functions from data to text, tested as whole strings."""
