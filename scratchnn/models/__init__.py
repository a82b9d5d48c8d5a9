"""The models: one per file, each to be read beside the paper that it comes from."""
