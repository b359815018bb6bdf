"""Observing an app: logs that name the job, metrics, traces, errors.

Each has a module of its own, imported by those who want it; ``import turnspit`` loads none of them.
"""
