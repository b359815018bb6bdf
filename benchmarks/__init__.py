"""Turnspit beside its peers and beside the raw limit, measured in one run: ``python -m benchmarks --help``."""
