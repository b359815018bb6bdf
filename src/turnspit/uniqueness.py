"""Which jobs of a task exclude each other.

>>> rule = Unique(key=["order_id"], within=3600)
>>> rule.key_of("send_invoice", {"order_id": 7, "draft": False})
'send_invoice [7]'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from turnspit.clock import Duration, to_duration
from turnspit.errors import ConfigurationError
from turnspit.keys import Key, Keyed, bounded
from turnspit.records import UniqueRule
from turnspit.states import JobState

__all__ = ["Debounce", "Unique", "check_unique", "idempotency_rule"]

_KEEPING = (JobState.SCHEDULED, JobState.HELD, JobState.READY, JobState.RUNNING, JobState.DEAD)
_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Unique(Keyed):
    """At most one job of the task with the same key.

    :param key: the name of an argument, a list of names, or a function that takes the arguments and returns a JSON
        value; by default all arguments together.
    :param within: seconds or ``timedelta`` after the job was enqueued for which it holds the key whatever its state, as
        long as the job is kept.
    :param states: the states in which the job holds the key; by default until it has ended.
    :param on_conflict: what a later call with the same key does: ``"keep"`` returns the existing job (``job.created``
        is false); ``"replace"`` gives it the new arguments and options, or if it has begun, stores a second job;
        ``"raise"`` raises ``JobExists``.

    ::

        @app.task(unique=Unique(key=["order_id"], within=timedelta(hours=1)))
        async def send_invoice(order_id: int) -> None: ...
    """

    what: ClassVar[str] = "unique key"

    key: Key = None
    within: Duration | None = None
    states: Sequence[str] = ("scheduled", "held", "ready", "running")
    on_conflict: Literal["keep", "replace", "raise"] = "keep"

    def __post_init__(self) -> None:
        self._settle_key()
        if self.on_conflict not in ("keep", "replace", "raise"):
            raise ConfigurationError(f'on_conflict is "keep", "replace" or "raise", not {self.on_conflict!r}')
        object.__setattr__(self, "states", self.states if isinstance(self.states, str) else tuple(self.states))
        wrong = [state for state in self.states if state not in _KEEPING]
        if isinstance(self.states, str) or wrong:
            raise ConfigurationError(f"states is a list of {', '.join(_KEEPING)}, not {self.states!r}")
        if not self.states and self.within is None:
            raise ConfigurationError("a Unique without states needs within=, or it would exclude nothing")
        self.rule()

    def rule(self) -> UniqueRule:
        """The rule for the store."""
        within = 0 if self.within is None else to_duration(self.within, "within")
        return UniqueRule(",".join(self.states), within, self.on_conflict)

    @property
    def delay(self) -> int:
        """Microseconds that a job waits at least."""
        return 0


@dataclass(frozen=True, slots=True)
class Debounce(Keyed):
    """Calls with the same key become one job, which runs with the last call's arguments once no call has come for some
    time.

    :param seconds: seconds or ``timedelta`` between the last call and the run.
    :param key: as for ``Unique``.
    :param max_wait: seconds or ``timedelta`` after the first call at which it runs even if calls keep coming.

    ::

        @app.task(unique=Debounce(5, key=["document_id"], max_wait=60))
        async def index_document(document_id: int, revision: int) -> None: ...
    """

    what: ClassVar[str] = "unique key"

    seconds: Duration
    key: Key = None
    max_wait: Duration | None = None

    def __post_init__(self) -> None:
        self._settle_key()
        self.rule()

    def rule(self) -> UniqueRule:
        """The rule for the store."""
        longest = None if self.max_wait is None else to_duration(self.max_wait, "max_wait")
        if longest is not None and longest < self.delay:
            raise ConfigurationError(
                f"max_wait is at least the seconds of quiet ({self.seconds!r}), not {self.max_wait!r}"
            )
        return UniqueRule("scheduled,held,ready", 0, "replace", longest)

    @property
    def delay(self) -> int:
        """Microseconds that a job waits at least."""
        return to_duration(self.seconds, "seconds")


def idempotency_rule(task: str, key: str) -> tuple[str, UniqueRule]:
    """The key and rule of ``using(idempotency_key=)``: one job until it is completed or cancelled, and for a day after
    it was enqueued.
    """
    return bounded(f"{task} #{key}"), UniqueRule(",".join(_KEEPING), _DAY)


def check_unique(unique: Unique | Debounce | None, task: str, names: frozenset[str]) -> Unique | Debounce | None:
    """``unique`` if a task with arguments of these names can have it.

    :raises ConfigurationError: otherwise.
    """
    if unique is None:
        return None
    if not isinstance(unique, Unique | Debounce):
        raise ConfigurationError(f"unique takes Unique(...) or Debounce(...), not {unique!r}")
    unique.check_names(task, names)
    return unique
