"""What an engine promises. The docstrings of its verbs define what they do.

An engine is where jobs live. Its verbs do no I/O themselves (see ``verbs.py``); ``write``, ``read`` and the like run
them.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from turnspit.clock import Clock
from turnspit.contract.alerts import Alerts
from turnspit.contract.control import Control
from turnspit.contract.figures import Figures
from turnspit.contract.jobs import Jobs
from turnspit.contract.leases import Leases
from turnspit.contract.limits import Limits
from turnspit.contract.moves import Moves
from turnspit.contract.pauses import Pauses
from turnspit.contract.queries import Queries
from turnspit.contract.schedules import Schedules
from turnspit.contract.schema import SchemaStatus
from turnspit.contract.uniqueness import Uniqueness
from turnspit.contract.verbs import Verb
from turnspit.contract.wakeups import Wakeups
from turnspit.contract.workflows import Workflows
from turnspit.records import NewJob, StoreLock

__all__ = ["Engine", "SchemaStatus"]

Q = ParamSpec("Q")
T = TypeVar("T")


class Engine(
    Jobs,
    Control,
    Queries,
    Figures,
    Leases,
    Uniqueness,
    Limits,
    Pauses,
    Alerts,
    Moves,
    Schedules,
    Workflows,
    Protocol,
):
    """A store: the verbs, and how they are run."""

    location: str
    """Where the store is, absolute, without secrets; for banners."""
    clock: Clock
    deadline: float
    """Seconds that a call waits for the store."""
    has_round_trips: bool
    """Whether each statement travels to a server and back, so that a verb of fewer statements is worth a try."""
    has_two_writers: bool
    """Whether ``awrite_beside`` can run at the same time as ``awrite``. A store with one writer runs one at a time."""

    @property
    def wakeups(self) -> Wakeups:
        """How the store tells listeners that something changed."""
        ...

    def check_new(self, new: NewJob[Any]) -> None:
        """Refuse a job that the engine could not store; asks the store nothing.

        :raises InvalidPayload: saying why.
        """
        ...

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """Run a verb in a transaction of its own, durable when this returns.

        Verbs that wait together may be committed together; one that fails takes no other with it.

        :raises EngineUnavailable: if there is no answer before the engine's deadline.
        """
        ...

    def write_apart(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``write`` on a separate connection, where it waits for no other call of this process; for a worker's lease.

        It has a deadline of 3 seconds, or the engine's if that is shorter, so that the caller can soon try again. It is
        not durable: a power cut or a failover may lose what was written last.

        :raises EngineUnavailable: if there is no answer before the deadline.
        """
        ...

    def write_later(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> Callable[[], T]:
        """``write`` without waiting: the returned function waits for the answer, and returns or raises it."""
        ...

    def try_write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T | None:
        """``write`` on the calling thread, now. ``None`` if that would have to wait for another call or a connection,
        or for more than half a second for a lock: nothing was done then.
        """
        ...

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``write`` for async code, from any event loop."""
        ...

    async def awrite_beside(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``awrite`` on a second connection, where the engine ``has_two_writers``; otherwise the same as ``awrite``."""
        ...

    def read(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """Run a verb that reads, on one snapshot."""
        ...

    async def aread(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``read`` for async code, from any event loop."""
        ...

    def write_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """Run a verb on the caller's own connection or session, inside its transaction.

        :raises InvalidTransaction: if ``tx`` is not a transaction of this store that sync code can use.
        """
        ...

    async def awrite_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``write_in`` for async code."""
        ...

    def migrate(self) -> tuple[str, ...]:
        """Bring the schema up to date; returns the names of the migrations applied. Many processes may call it at once.

        :raises SchemaMismatch: if a newer release made the schema and says that this one cannot work with it.
        """
        ...

    def schema_status(self) -> SchemaStatus:
        """Find out where the schema stands, without changing it."""
        ...

    def prepare(self) -> None:
        """Do what the first use does with the schema: bring it up to date, or, with ``migrate=False``, check that it
        is.

        :raises SchemaMismatch: if this release cannot work with it, with the cure.
        """
        ...

    def schema_sql(self, since: int = 0) -> str:
        """The migrations after version ``since`` as one SQL script: all of them, by default."""
        ...

    def diagnose(self) -> list[tuple[str, bool, str]]:
        """What ``turnspit doctor`` says about the store: subject, whether it is well, and what it is or what to do.

        The subject ``advice`` is no fault, and worth a look.
        """
        ...

    def find_danger(self) -> str | None:
        """What may lose accepted jobs although every call is answered, and what to do; ``None`` if nothing is known.
        Cheap enough to be asked at each heartbeat.
        """
        ...

    async def afind_lock(self) -> StoreLock | None:
        """A lock that keeps others from the store's tables for longer than a moment, as far as the store knows; cheap
        enough to be asked every few seconds, and answered while the tables cannot be read.
        """
        ...

    def close(self) -> None:
        """Close connections and threads. The engine opens again when it is used."""
        ...
