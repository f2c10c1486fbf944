"""Is it better? Runs -> evidence -> decision; and whether slots, audits and merges can be believed."""
