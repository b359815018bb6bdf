"""The verbs of ``contract/moves.py``, on any engine."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.base import VerbBase
from turnspit.records import MOVED_TABLES, Column, MovedTable, MoveRecord, Position

__all__ = ["MoveVerbs"]

_EVENTS = ("INSERT", "UPDATE", "DELETE")


class MoveVerbs(VerbBase):
    """Moving everything to another store."""

    @abstractmethod
    def select_list(self, columns: Sequence[Column]) -> str:
        """These columns as the list of a SELECT that gives numbers and texts only."""

    @abstractmethod
    def insert_rows(self, table: MovedTable, columns: Sequence[Column], rows: Sequence[Row]) -> Statement:
        """The statement that inserts these rows."""

    def get_move(self) -> Verb[MoveRecord | None]:
        rows = yield Statement(self.sql["get_move"], {})
        if not rows:
            return None
        token, role, other, with_history, ended_at, positions = rows[0]
        known = {name: Position(*position) for name, position in json.loads(positions).items()}
        return MoveRecord(token, role, other, bool(with_history), ended_at, known)

    def freeze_store(self, token: str, target: str, with_history: bool, notice: str) -> Verb[None]:
        yield self._begin("source", token, target, with_history)
        for table in ("jobs", "workers"):
            yield from self._refuse(table, "INSERT", notice)
        yield Statement(self.sql["freeze_store_claims"], {})

    def seal_store(self, notice: str) -> Verb[list[tuple[int, str, int]]]:
        running = yield Statement(self.sql["seal_store"], {"now": self.clock.now()})
        if running:
            return [(job, task, worker) for job, task, worker in running]
        yield from self._refuse_everything(notice)
        return []

    def thaw_store(self) -> Verb[bool]:
        move = yield from self.get_move()
        if move is None or move.role != "source" or move.ended_at is not None:
            return False
        yield from self._allow_everything()
        yield Statement(self.sql["thaw_store"], {"token": move.token})
        yield Wake(WakeKind.READY)
        yield Wake(WakeKind.SCHEDULED)
        return True

    def end_move(self, notice: str) -> Verb[None]:
        yield from self._refuse_everything(notice)
        yield Statement(self.sql["end_move"], {"now": self.clock.now(), "role": "source"})

    def fill_store(self, token: str, source: str, with_history: bool, notice: str) -> Verb[list[str]]:
        filled = []
        for table in MOVED_TABLES:
            if (yield self._about(table, "fill_store_look")):
                filled.append(table.name)
        if not filled:
            yield self._begin("target", token, source, with_history)
            yield from self._refuse_everything(notice)
        return filled

    def empty_store(self, limit: int) -> Verb[int]:
        removed = 0
        yield Statement(self.sql["write_rows_begin"], {})
        for table in MOVED_TABLES:
            removed += len((yield self._about(table, "empty_store", limit=limit)))
        yield Statement(self.sql["empty_store_end" if not removed else "write_rows_end"], {})
        if not removed:
            yield from self._allow_everything()
        return removed

    def list_columns(self, table: MovedTable) -> Verb[list[Column]]:
        return [Column(*row) for row in (yield Statement(self.sql["list_columns"], {"table": table.name}))]

    def count_rows(self, table: MovedTable, with_history: bool) -> Verb[int]:
        which = self._which(table, with_history)
        [(count,)] = yield Statement(self._named("count_rows", table.name).replace("{which}", which), {})
        return int(count)

    def read_rows(
        self,
        table: MovedTable,
        columns: Sequence[Column],
        with_history: bool,
        after: Sequence[int | str] | None,
        limit: int,
    ) -> Verb[list[Row]]:
        key = ", ".join(table.key)
        which = self._which(table, with_history)
        params: dict[str, Any] = {"limit": limit}
        if after is not None:
            params |= {f"after_{name}": value for name, value in zip(table.key, after, strict=True)}
            which += f" AND ({key}) > ({', '.join(f':after_{name}' for name in table.key)})"
        sql = self._named("read_rows", table.name).replace("{which}", which).replace("{key}", key)
        rows = yield Statement(sql.replace("{columns}", self.select_list(columns)), params)
        return [tuple(_without_nul(value) for value in row) for row in rows]

    def write_rows(
        self,
        token: str,
        table: MovedTable,
        columns: Sequence[Column],
        after: Sequence[int | str] | None,
        rows: Sequence[Row],
    ) -> Verb[bool]:
        yield Statement(self.sql["write_rows_begin"], {})  # locks the record
        move = yield from self.get_move()
        before = Position(0, None) if move is None else move.positions.get(table.name, Position(0, None))
        if move is None or move.token != token or move.ended_at is not None or before.key != after:
            yield Statement(self.sql["write_rows_end"], {})
            return False
        names = [column.name for column in columns]
        position = Position(before.rows + len(rows), [rows[-1][names.index(name)] for name in table.key])
        yield self.insert_rows(table, columns, rows)
        positions = json.dumps(move.positions | {table.name: position})
        yield Statement(self.sql["write_rows"], {"token": token, "positions": positions})
        return True

    def last_ids(self) -> Verb[dict[str, int]]:
        ids = {}
        for table in MOVED_TABLES:
            if table.is_numbered:
                [(last,)] = yield self._about(table, "last_ids")
                ids[table.name] = int(last)
        return ids

    def open_store(self, last_ids: dict[str, int]) -> Verb[None]:
        yield from self._allow_everything()
        for name, last in last_ids.items():
            if last:
                yield Statement(self._named("open_store_forget", name), {})
                yield Statement(self._named("open_store", name), {"last": last})
        now = self.clock.now()
        yield Statement(self.sql["open_store_workers"], {"now": now})
        yield Statement(self.sql["end_move"], {"now": now, "role": "target"})
        yield Wake(WakeKind.READY)
        yield Wake(WakeKind.SCHEDULED)

    def _begin(self, role: str, token: str, other: str, with_history: bool) -> Statement:
        params = {"now": self.clock.now(), "token": token, "role": role, "other": other, "with_history": with_history}
        return Statement(self.sql["freeze_store"], params)

    def _about(self, table: MovedTable, block: str, **params: Any) -> Statement:
        return Statement(self._named(block, table.name).replace("{key}", ", ".join(table.key)), params)

    def _which(self, table: MovedTable, with_history: bool) -> str:
        return self.sql["read_rows_of_live" if table.follows_job and not with_history else "read_rows_of_all"]

    def _refuse_everything(self, notice: str) -> Verb[None]:
        for table in MOVED_TABLES:
            for event in _EVENTS if table.is_frozen else ("INSERT",):
                yield from self._refuse(table.name, event, notice)

    def _refuse(self, table: str, event: str, notice: str) -> Verb[None]:
        yield self._trigger("thaw_store_allow", table, event)
        statement = self._trigger("freeze_store_refuse", table, event)
        yield Statement(statement.sql.replace("{notice}", notice.replace("'", "''")), {})

    def _allow_everything(self) -> Verb[None]:
        for table in MOVED_TABLES:
            for event in _EVENTS:
                yield self._trigger("thaw_store_allow", table.name, event)
        yield Statement(self.sql["thaw_store_claims"], {})

    def _trigger(self, block: str, table: str, event: str) -> Statement:
        return Statement(self._named(block, table).replace("{event}", event), {})

    def _named(self, block: str, table: str) -> str:
        return self.sql[block].replace("{table}", table)


def _without_nul(value: Any) -> Any:
    """An error's message may hold a NUL, which PostgreSQL cannot store."""
    return value.replace("\0", "\ufffd") if type(value) is str and "\0" in value else value
