"""Rows and git objects as GitHub's JSON."""
