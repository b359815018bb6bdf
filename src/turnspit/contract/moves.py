"""Moving everything to another store."""

from collections.abc import Sequence
from typing import Protocol

from turnspit.contract.verbs import Row, Verb
from turnspit.records import Column, MovedTable, MoveRecord

__all__ = ["Moves"]


class Moves(Protocol):
    """The verbs of a move. While it lasts, triggers close both stores to everybody else: to running processes, callers'
    own transactions and other languages. Without a move, nobody pays for the check.
    """

    def get_move(self) -> Verb[MoveRecord | None]:
        """The latest move that this store was part of."""
        ...

    def freeze_store(self, token: str, target: str, with_history: bool, notice: str) -> Verb[None]:
        """Close a source: enqueueing and registering a worker raise ``StoreFrozen`` with ``notice``, and nothing is
        claimed. Running jobs can end.
        """
        ...

    def seal_store(self, notice: str) -> Verb[list[tuple[int, str, int]]]:
        """Refuse every change of a frozen source. While live workers still run jobs, change nothing, and return id,
        task and worker of each.
        """
        ...

    def thaw_store(self) -> Verb[bool]:
        """Give a move up and open the source again. ``False`` if there is no move, or it is complete."""
        ...

    def end_move(self, notice: str) -> Verb[None]:
        """Complete the move in the source, which stays closed, with another notice."""
        ...

    def fill_store(self, token: str, source: str, with_history: bool, notice: str) -> Verb[list[str]]:
        """Close a target, to be filled. If any of its tables has rows, change nothing, and return their names."""
        ...

    def empty_store(self, limit: int) -> Verb[int]:
        """Remove what an earlier move has left in a target, at most ``limit`` rows of each table: how many."""
        ...

    def list_columns(self, table: MovedTable) -> Verb[list[Column]]:
        """The columns of a table."""
        ...

    def count_rows(self, table: MovedTable, with_history: bool) -> Verb[int]:
        """How many rows of a table are to be moved."""
        ...

    def read_rows(
        self,
        table: MovedTable,
        columns: Sequence[Column],
        with_history: bool,
        after: Sequence[int | str] | None,
        limit: int,
    ) -> Verb[list[Row]]:
        """The next rows of a table after the key ``after``, in the order of its key. NUL in text is replaced."""
        ...

    def write_rows(
        self,
        token: str,
        table: MovedTable,
        columns: Sequence[Column],
        after: Sequence[int | str] | None,
        rows: Sequence[Row],
    ) -> Verb[bool]:
        """Store rows in a target together with its new position. ``False``, and nothing is stored, if its position is
        not ``after``, because another process moves as well.
        """
        ...

    def last_ids(self) -> Verb[dict[str, int]]:
        """The last id of each table that numbers its rows by itself."""
        ...

    def open_store(self, last_ids: dict[str, int]) -> Verb[None]:
        """Complete the move in the target, which is open to everybody from then on. New ids continue those of the
        source.
        """
        ...
