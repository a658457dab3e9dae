"""SAM in Flax: one block of its figures a file; `sam.py` puts them together."""
