"""What others see of an app: logs with the job in them, metrics, traces, errors.

Each module is for one of them and is imported by whoever wants it; none is loaded by ``import turnspit``.
"""
