"""The same measurement, drafting and history by hand, in any clone, without bot or database."""
