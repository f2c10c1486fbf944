"""One module per outside party; each turns that party's data into core types once, and is its only importer."""
