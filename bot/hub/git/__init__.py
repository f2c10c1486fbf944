"""Bare repositories: objects, refs, merges, differences, and git over HTTP."""
