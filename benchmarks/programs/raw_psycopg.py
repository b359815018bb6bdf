"""The raw limit of PostgreSQL with psycopg: bare tables, one connection, no types, no handlers, no events.

An INSERT with its commit; COPY; claim 500 and move the 500 before to ``history``, in one transaction. For the latency,
the INSERT notifies and a loop that listens claims.
"""

import threading
from typing import Any

import psycopg
from psycopg.types.json import set_json_loads

from benchmarks.contract import Program, starts
from benchmarks.programs.raw_sql import CLAIM, COPY, FINISH, INSERT, TABLES, text

_BATCH = 500


class RawPsycopg(Program):
    """Statements in a loop."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._stopping = threading.Event()

    def settings(self) -> dict[str, str]:
        return {
            "version": "psycopg " + psycopg.__version__,
            "settings": f"bare tables; claim {_BATCH} and finish the {_BATCH} before in one transaction; COPY",
        }

    def prepare(self) -> None:
        with psycopg.connect(self.store) as connection:
            connection.execute(TABLES)

    def open(self) -> None:
        set_json_loads(lambda text: text)
        self._connection = psycopg.connect(self.store, autocommit=True, prepare_threshold=1)

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._connection.execute(INSERT, ["deliver", text(number)])

    def enqueue_bulk(self, count: int) -> None:
        with self._connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for number in range(count):
                copy.write_row(("deliver", text(number)))

    def enqueue_marked(self, number: int) -> None:
        with self._connection.transaction(), self._connection.pipeline():
            self._connection.execute(INSERT, ["mark", text(number)])
            self._connection.execute("NOTIFY raw")

    def work(self, **options: Any) -> None:
        self._connection.execute("LISTEN raw")
        done: list[int] = []
        while not self._stopping.is_set():
            with self._connection.transaction():
                if done:
                    self._connection.execute(FINISH, [done])
                rows = self._connection.execute(CLAIM, [_BATCH]).fetchall()
            done = [row[0] for row in rows]
            for row in rows:
                if row[2] == "mark":
                    starts.mark(int(row[3].split(b'order_id":')[1].split(b",")[0]))
            if not rows:
                for _ in self._connection.notifies(timeout=0.1, stop_after=1):
                    pass

    def stop(self) -> None:
        self._stopping.set()
