"""What an app declares of a queue.

::

    app = Turnspit(queues=[Queue("heavy", concurrency=2)])
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from turnspit.codec import check_text
from turnspit.errors import ConfigurationError
from turnspit.limits import Concurrency, Limit, Rate

__all__ = ["Queue", "QueueLimits", "check_queues"]

QueueLimits = Sequence[tuple[str, Limit]]
"""Of a queue, with their owner's name."""

WhenFull = Literal["raise", "wait"]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue with options; one without needs no declaration.

    :param concurrency: how many of its jobs run at a time, over all workers.
    :param rate: how many of its jobs begin in a time, over all workers.
    :param max_waiting: how many of its jobs may wait to begin; scheduled ones count once they are due.
    :param when_full: what an enqueue does then: ``"raise"`` ``QueueFull``, or ``"wait"`` for room, at most as long as
        the app's ``deadline``.

    ::

        app = Turnspit(queues=[Queue("mail", max_waiting=100_000, when_full="wait")])
    """

    name: str
    concurrency: int | None = None
    rate: Rate | None = None
    max_waiting: int | None = None
    when_full: WhenFull = "raise"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", check_text(self.name, "a queue's name"))
        if self.rate is not None and (not isinstance(self.rate, Rate) or self.rate.key is not None):
            raise ConfigurationError(f"queue {self.name}: rate takes a Rate without a key, not {self.rate!r}")
        most = self.max_waiting
        if most is not None and not (isinstance(most, int) and not isinstance(most, bool) and most > 0):
            raise ConfigurationError(f"queue {self.name}: max_waiting is a number of at least 1, not {most!r}")
        if self.when_full not in ("raise", "wait"):
            raise ConfigurationError(f'queue {self.name}: when_full is "raise" or "wait", not {self.when_full!r}')
        self.limits()

    def limits(self) -> QueueLimits:
        """Its limits, with their owner's name."""
        limits: list[Limit] = [] if self.rate is None else [self.rate]
        if self.concurrency is not None:
            limits.append(Concurrency(self.concurrency))
        return tuple((f"queue {self.name}", limit) for limit in limits)


def check_queues(queues: Iterable[Queue]) -> Mapping[str, Queue]:
    """The declared queues by name.

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
    return {queue.name: queue for queue in declared}
