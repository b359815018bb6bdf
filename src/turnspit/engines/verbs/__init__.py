"""The verbs of the contract, written once: what differs between engines is their SQL (see ``brought.py``)."""
