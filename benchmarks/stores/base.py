"""What the harness can do with a store, whatever its kind."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

__all__ = ["Kind", "Store", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the database has used until now, where it is a process of its own."""

    cpu_seconds: float
    wal_bytes: float
    transactions: float


class Store(ABC):
    """One fresh store."""

    url: str

    @abstractmethod
    def number(self, question: str) -> int:
        """The answer to a question in the store's own language; 0 where there is none."""

    @abstractmethod
    def settle(self) -> None:
        """Make the store do now what it would otherwise do during the measurement: statistics, clean-up, writing."""

    def execute(self, sql: str) -> None:
        """Run something, in a transaction of its own."""
        raise NotImplementedError

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns."""
        raise NotImplementedError

    def snapshot(self) -> AbstractContextManager[None]:
        """A transaction of another connection that sees the store as it is now, to its end."""
        raise NotImplementedError

    def undisturbed(self) -> AbstractContextManager[None]:
        """A block in which the store does nothing but answer its clients."""
        return nullcontext()

    def usage(self) -> Usage | None:
        """What the database has used until now."""
        return None

    def memory(self) -> float | None:
        """Memory of the database in MB, shared pages counted once."""
        return None


class Kind(ABC):
    """A kind of store."""

    title: str
    conditions: str
    """What holds for every system on it: version, durability, settings."""

    @abstractmethod
    def new_store(self) -> AbstractContextManager[Store]:
        """A fresh store, removed afterwards."""

    @abstractmethod
    def close(self) -> None:
        """Stop what was started for it."""
