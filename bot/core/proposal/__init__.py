"""What to try: constants, ideas and memory, a model's tools and conversation; and what a proposal may touch."""
