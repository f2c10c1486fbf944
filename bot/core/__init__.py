"""Pure: no I/O, no clock, no randomness. Decisions, commands, contract, scope and texts are functions on data."""
