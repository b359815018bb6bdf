"""Tasks with ``isolate=True``, with real processes."""
