"""What a person does with a store's things, a module a noun: ``app.jobs``, ``app.queues``."""

from turnspit.operations.jobs import FilterFields, Jobs, make_filter
from turnspit.operations.queues import Queues

__all__ = ["FilterFields", "Jobs", "Queues", "make_filter"]
