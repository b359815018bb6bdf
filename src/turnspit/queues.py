"""What an app declares of a queue.

::

    app = Turnspit(queues=[Queue("heavy", concurrency=2)])
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from turnspit.codec import check_text
from turnspit.errors import ConfigurationError
from turnspit.limits import Concurrency, Limit, Rate

__all__ = ["Queue", "limits_of_queues"]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue with options; one without needs no declaration.

    :param concurrency: how many of its jobs run at a time, over all workers.
    :param rate: how many of its jobs begin in a time, over all workers.
    """

    name: str
    concurrency: int | None = None
    rate: Rate | None = None

    def __post_init__(self) -> None:
        check_text(self.name, "a queue's name")
        if self.rate is not None and (not isinstance(self.rate, Rate) or self.rate.key is not None):
            raise ConfigurationError(f"queue {self.name}: rate takes a Rate without a key, not {self.rate!r}")
        self.limits()

    def limits(self) -> tuple[tuple[str, Limit], ...]:
        """Its limits, with their owner's name."""
        limits: list[Limit] = [] if self.rate is None else [self.rate]
        if self.concurrency is not None:
            limits.append(Concurrency(self.concurrency))
        return tuple((f"queue {self.name}", limit) for limit in limits)


def limits_of_queues(queues: Iterable[Queue]) -> Mapping[str, Sequence[tuple[str, Limit]]]:
    """The limits of the declared queues, by name.

    :raises ConfigurationError: if one is something else, or declared twice.
    """
    declared = list(queues)
    for queue in declared:
        if not isinstance(queue, Queue):
            raise ConfigurationError(
                f'queues is a list of Queue(...), as in [Queue("heavy", concurrency=2)], not {queue!r}'
            )
        if sum(other.name == queue.name for other in declared) > 1:
            raise ConfigurationError(f"queue {queue.name} is declared twice")
    return {queue.name: queue.limits() for queue in declared}
