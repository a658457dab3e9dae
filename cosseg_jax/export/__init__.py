"""A trained network as one file, for use without this package."""
