"""Random operations against a small model that is obviously right."""
