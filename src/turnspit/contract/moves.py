"""Moving everything to another store."""

from collections.abc import Sequence
from typing import Protocol

from turnspit.contract.verbs import Row, Verb
from turnspit.records import Column, MovedTable, MoveRecord

__all__ = ["Moves"]


class Moves(Protocol):
    """The verbs of a move. Both stores are closed to everybody else meanwhile, by triggers: so running processes,
    callers' own transactions and other languages are refused too, and nobody pays for the check otherwise.
    """

    def get_move(self) -> Verb[MoveRecord | None]:
        """The latest move that this store was part of."""
        ...

    def freeze_store(self, token: str, target: str, with_history: bool, notice: str) -> Verb[None]:
        """Close a source: nothing is enqueued and no worker registers, which raises ``StoreFrozen`` with ``notice``,
        and no job is claimed. What runs can end.
        """
        ...

    def seal_store(self, notice: str) -> Verb[list[tuple[int, str, int]]]:
        """Refuse every change of a frozen source; or, and nothing else then, the jobs that live workers still run: id,
        task, worker.
        """
        ...

    def thaw_store(self) -> Verb[bool]:
        """Give a move up: the source is as it was. ``False`` if there is none, or it is complete."""
        ...

    def end_move(self, notice: str) -> Verb[None]:
        """The source's last step: it stays closed, with another notice."""
        ...

    def fill_store(self, token: str, source: str, with_history: bool, notice: str) -> Verb[list[str]]:
        """Close a target and begin to fill it; or, and nothing else then, the names of the tables that have rows."""
        ...

    def empty_store(self, limit: int) -> Verb[int]:
        """Remove what an earlier move has left in a target, at most ``limit`` rows of each table: how many."""
        ...

    def list_columns(self, table: MovedTable) -> Verb[list[Column]]:
        """The columns of a table."""
        ...

    def count_rows(self, table: MovedTable, with_history: bool) -> Verb[int]:
        """How many rows of a table go along."""
        ...

    def read_rows(
        self,
        table: MovedTable,
        columns: Sequence[Column],
        with_history: bool,
        after: Sequence[int | str] | None,
        limit: int,
    ) -> Verb[list[Row]]:
        """The next rows of a table behind the key ``after``, in the order of its key. Text has no NUL any more."""
        ...

    def write_rows(
        self,
        token: str,
        table: MovedTable,
        columns: Sequence[Column],
        after: Sequence[int | str] | None,
        rows: Sequence[Row],
    ) -> Verb[bool]:
        """Store rows in a target and how far it has come, both or nothing. ``False``, and nothing, if it is not at
        ``after`` any more: somebody else moves as well.
        """
        ...

    def last_ids(self) -> Verb[dict[str, int]]:
        """The last id given in each table that numbers its rows by itself."""
        ...

    def open_store(self, last_ids: dict[str, int]) -> Verb[None]:
        """The target's last step: ids go on behind those of the source, and everybody may use it."""
        ...
