"""A worker: claims, runs and finishes jobs."""
