"""How the rows of a move are read from a file and written into one."""

from collections.abc import Sequence

from turnspit.contract.verbs import Row, Statement
from turnspit.engines.verbs.moves import MoveVerbs
from turnspit.records import Column, MovedTable

__all__ = ["SqliteMoveVerbs"]


class SqliteMoveVerbs(MoveVerbs):
    """Moving everything to another store."""

    def select_list(self, columns: Sequence[Column]) -> str:
        return ", ".join(column.name for column in columns)

    def insert_rows(self, table: MovedTable, columns: Sequence[Column], rows: Sequence[Row]) -> Statement:
        sql = self.sql["write_rows_insert"].replace("{table}", table.name)
        sql = sql.replace("{columns}", self.select_list(columns)).replace("{marks}", ", ".join("?" * len(columns)))
        return Statement(sql, rows, many=True)
