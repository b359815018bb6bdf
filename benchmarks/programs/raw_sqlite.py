"""The raw limit: Turnspit's own statements on its own schema in a bare ``sqlite3`` loop, 500 a batch.

No threads, no types, no handlers, no events, no other process: nobody can be faster on these tables.
"""

import json
import platform
import sqlite3
import threading
import time
from collections import Counter
from typing import Any

from benchmarks.contract import Program
from benchmarks.programs.raw_sql import text
from turnspit import Turnspit
from turnspit.engines.sqlite.blocks import SQL

_BATCH = 500
_NEW = {"task": "deliver", "queue": "default", "priority": 0, "at": None, "delay": 0, "retry": None, "timeout": None,
        "tags": None, "metadata": None, "now": None}  # fmt: skip


class RawSqlite(Program):
    """INSERT and COMMIT; one ``executemany`` and COMMIT; claim 500 and finish the 500 before, in one transaction."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._stopping = threading.Event()

    def settings(self) -> dict[str, str]:
        return {
            "version": "sqlite3 of Python " + platform.python_version(),
            "settings": f"Turnspit's statements and schema, {_BATCH} a batch, one thread",
        }

    def prepare(self) -> None:
        app = Turnspit(self.store)
        app.migrate()
        app.close()

    def open(self) -> None:
        path = self.store.removeprefix("sqlite:///")
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        insert = SQL["insert_job"]
        for number in range(first, first + count):
            self._connection.execute(insert, _NEW | {"args": text(number)}).fetchall()

    def enqueue_bulk(self, count: int) -> None:
        now = time.time_ns() // 1000
        rows = (
            ("deliver", "default", text(number), 0, None, None, None, None, now, now, "ready")
            for number in range(count)
        )
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(SQL["insert_jobs"], rows)
        self._connection.execute("COMMIT")

    def work(self) -> None:
        worker = {"host": "raw", "pid": 1, "version": "", "queues": None, "tasks": '["deliver"]', "concurrency": 1}
        register = SQL["register_worker"]
        self._worker = self._connection.execute(register, worker | {"lease": 10**12, "now": None}).fetchone()[0]
        claimed: list[tuple[Any, ...]] = []
        while not self._stopping.is_set():
            self._connection.execute("BEGIN IMMEDIATE")
            if claimed:
                self._finish(claimed)
            params = {"now": None, "worker": self._worker, "queue": "default", "limit": _BATCH, "tasks": '["deliver"]'}
            claimed = self._connection.execute(SQL["claim_jobs"], params).fetchall()
            self._connection.execute("COMMIT")
            if not claimed:
                self._stopping.wait(0.001)

    def _finish(self, claimed: list[tuple[Any, ...]]) -> None:
        finishes = json.dumps([(row[0], row[1], "null", None, None) for row in claimed])
        done = self._connection.execute(SQL["finish_jobs"], {"now": None, "finishes": finishes}).fetchall()
        self._connection.execute(SQL["finish_jobs_remove"], {"ids": json.dumps([row[0] for row in done])})
        for (queue, task), count in Counter(row[1:3] for row in done).items():
            params = {
                "now": None,
                "queue": queue,
                "task": task,
                "outcome": "completed",
                "count": count,
                "run_time": 0,
            }
            self._connection.execute(SQL["count_outcomes"], params)

    def stop(self) -> None:
        self._stopping.set()
