"""What an engine promises: domain verbs whose docstrings are the semantics.

An engine is where jobs live. Its verbs are sans-I/O (``verbs.py``); ``write`` and ``read`` run them.
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
    has_two_writers: bool
    """Whether ``awrite_beside`` runs beside ``awrite``; where a store has one writer, it would only wait behind it."""

    @property
    def wakeups(self) -> Wakeups:
        """The store's bell."""
        ...

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """Run a verb in a transaction of its own, durable when this returns.

        Verbs that wait together may be committed together; one that fails takes no other with it.

        :raises EngineUnavailable: if there is no answer before the engine's deadline.
        """
        ...

    def write_apart(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``write`` on a connection of its own, which waits behind no other call of this process; for a worker's lease.

        Whoever must be in time wants to try again soon: there is an answer within 3 seconds, or the engine's deadline
        if that is shorter. A power cut or a failover may take what was written in the last moment.

        :raises EngineUnavailable: if there is no answer.
        """
        ...

    def write_later(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> Callable[[], T]:
        """Hand a verb over as ``write`` does, and go on meanwhile: the function returned waits for its answer."""
        ...

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``write`` for async code, from any event loop."""
        ...

    async def awrite_beside(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``awrite`` on a second connection, where ``has_two_writers``: two transactions of this process at a time."""
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
        """Bring the schema up to date; the names of the migrations applied. Safe from many processes at once.

        :raises SchemaMismatch: if a newer release made the schema and says that this one cannot work with it.
        """
        ...

    def schema_status(self) -> SchemaStatus:
        """Where the schema stands; changes nothing."""
        ...

    def prepare(self) -> None:
        """What the first use does with the schema: bring it up to date, or, with ``migrate=False``, see that it is.

        :raises SchemaMismatch: if this release cannot work with it, with the cure.
        """
        ...

    def schema_sql(self, since: int = 0) -> str:
        """The migrations after version ``since`` as one SQL script: all of them, by default."""
        ...

    def diagnose(self) -> list[tuple[str, bool, str]]:
        """What ``turnspit doctor`` says about the store: subject, whether it is well, and what to do."""
        ...

    def close(self) -> None:
        """Let go of connections and threads. The engine opens itself again when it is used."""
        ...
