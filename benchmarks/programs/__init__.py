"""The programs of the systems: one file each, run by ``benchmarks.agent`` in the environment of its system."""
