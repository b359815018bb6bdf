"""What an engine promises: domain verbs whose docstrings are the semantics.

An engine is where jobs live. Its verbs are sans-I/O (``verbs.py``); ``write`` and ``read`` run them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

from turnspit.clock import Clock
from turnspit.contract.control import Control
from turnspit.contract.jobs import Jobs
from turnspit.contract.leases import Leases
from turnspit.contract.queries import Queries
from turnspit.contract.uniqueness import Uniqueness
from turnspit.contract.verbs import Verb
from turnspit.contract.wakeups import Wakeups

__all__ = ["Engine", "SchemaStatus"]

Q = ParamSpec("Q")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where a store's schema stands."""

    current: int
    """The version of the store; 0 if it has none."""
    newest: int
    """The version that this release brings."""
    pending: tuple[str, ...]
    """The names of the migrations to apply."""


class Engine(Jobs, Control, Queries, Leases, Uniqueness, Protocol):
    """A store: the verbs, and how they are run."""

    location: str
    """Where the store is, absolute, without secrets; for banners."""
    clock: Clock

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

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        """``write`` for async code, from any event loop."""
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
        """Bring the schema up to date; the names of the migrations applied. Safe from many processes at once."""
        ...

    def schema_status(self) -> SchemaStatus:
        """Where the schema stands; changes nothing."""
        ...

    def schema_sql(self) -> str:
        """All migrations as one SQL script."""
        ...

    def diagnose(self) -> list[tuple[str, bool, str]]:
        """What ``turnspit doctor`` says about the store: subject, whether it is well, and what to do."""
        ...

    def close(self) -> None:
        """Let go of connections and threads. The engine opens itself again when it is used."""
        ...
