"""Where candidate code runs: one interface, three implementations, and what they stand on."""
