"""All faults at random, for minutes or hours, and the proof that nothing was lost: ``python -m soak``."""
