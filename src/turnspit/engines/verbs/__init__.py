"""The verbs of the contract, written once for all engines, which differ in their SQL (see ``base.py``)."""
