"""How the rows of a move are read from a database and written into one."""

import json
from collections.abc import Sequence

from turnspit.contract.verbs import Row, Statement, Verb
from turnspit.engines.postgres.blocks import has_nul
from turnspit.engines.verbs.moves import MoveVerbs
from turnspit.engines.verbs.rows import to_json
from turnspit.errors import InvalidPayload
from turnspit.records import Column, MovedTable

__all__ = ["PostgresMoveVerbs"]


class PostgresMoveVerbs(MoveVerbs):
    """Moving everything to another store."""

    def select_list(self, columns: Sequence[Column]) -> str:
        # As text, json stays exactly as it was written.
        return ", ".join(f"{name}::text" if kind == "json" else name for name, kind in columns)

    def write_rows(
        self,
        token: str,
        table: MovedTable,
        columns: Sequence[Column],
        after: Sequence[int | str] | None,
        rows: Sequence[Row],
    ) -> Verb[bool]:
        _check(table, columns, rows)
        if table.is_history:
            names = [column.name for column in columns]
            ends = to_json({"finished_at": row[names.index("finished_at")]} for row in rows)
            yield Statement(self.sql["write_rows_partitions"], {"rows": ends})
        return (yield from super().write_rows(token, table, columns, after, rows))

    def insert_rows(self, table: MovedTable, columns: Sequence[Column], rows: Sequence[Row]) -> Statement:
        names = [column.name for column in columns]
        marks = {
            "table": table.name,
            "names": ", ".join(names),
            "columns": ", ".join(f"{name}::json" if kind == "json" else name for name, kind in columns),
            "types": ", ".join(f"{name} {'text' if kind == 'json' else kind}" for name, kind in columns),
        }
        sql = self.sql["write_rows_insert"]
        for mark, text in marks.items():
            sql = sql.replace("{" + mark + "}", text)
        return Statement(sql, {"rows": to_json(dict(zip(names, row, strict=True)) for row in rows)})


def _check(table: MovedTable, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Refuse rows that a foreign writer put into an SQLite file and that PostgreSQL cannot store.

    :raises InvalidPayload: naming the row.
    """
    places = [place for place, column in enumerate(columns) if column.type == "json"]
    names = [column.name for column in columns]
    for row in rows:
        for place in places:
            reason = None if row[place] is None else _why_not(row[place])
            if reason is not None:
                which = ", ".join(f"{name} {row[names.index(name)]}" for name in table.key)
                raise InvalidPayload(
                    f"{names[place]} of {table.name} ({which}) {reason}, which PostgreSQL cannot store: give the move "
                    "up with --thaw, delete or cancel that job, and move again"
                )


def _refuse(constant: str) -> None:
    """``NaN`` and ``Infinity``, which Python takes for JSON."""
    raise ValueError(constant)


def _why_not(text: str) -> str | None:
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return "is no JSON"
    return "has a NUL character" if has_nul(text) else None
