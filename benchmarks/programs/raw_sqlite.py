"""The raw limit of SQLite: bare tables in a bare ``sqlite3`` loop of one thread, 500 a batch.

No types, no handlers, no events, no other process.
"""

import json
import platform
import sqlite3
import threading
from typing import Any

from benchmarks.contract import Program
from benchmarks.programs.raw_sql import text

_BATCH = 500
_TABLES = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, queue TEXT NOT NULL DEFAULT 'default',
    state TEXT NOT NULL DEFAULT 'ready', priority INTEGER NOT NULL DEFAULT 0, args TEXT NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0, worker INTEGER,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    started_at INTEGER
) STRICT;
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, id) WHERE state = 'ready';
CREATE TABLE history (
    id INTEGER PRIMARY KEY, task TEXT NOT NULL, queue TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL,
    args TEXT NOT NULL, fence INTEGER NOT NULL, worker INTEGER, created_at INTEGER NOT NULL, started_at INTEGER,
    finished_at INTEGER NOT NULL
) STRICT;
CREATE INDEX history_finished ON history (finished_at);
"""
_INSERT = "INSERT INTO jobs (task, args) VALUES ('deliver', ?)"
_CLAIM = """
UPDATE jobs SET state = 'running', fence = fence + 1, worker = 1,
    started_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
WHERE id IN (
    SELECT id FROM jobs WHERE state = 'ready' AND queue = 'default' ORDER BY priority DESC, id LIMIT ?
)
RETURNING id, fence, task, args
"""
_KEEP = """
INSERT INTO history SELECT jobs.*, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND state = 'running'
"""
_REMOVE = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND state = 'running'"


class RawSqlite(Program):
    """INSERT and COMMIT; one ``executemany`` and COMMIT; claim 500 and finish the 500 before, in one transaction."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._stopping = threading.Event()

    def settings(self) -> dict[str, str]:
        return {
            "version": "sqlite3 of Python " + platform.python_version(),
            "settings": f"bare tables; claim {_BATCH} and finish the {_BATCH} before in one transaction; executemany",
        }

    def prepare(self) -> None:
        self.open()
        self._connection.executescript(_TABLES)
        self._connection.close()

    def open(self) -> None:
        self._connection = sqlite3.connect(self.store.removeprefix("sqlite:///"), isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._connection.execute(_INSERT, (text(number),))

    def enqueue_bulk(self, count: int) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_INSERT, ((text(number),) for number in range(count)))
        self._connection.execute("COMMIT")

    def work(self, **options: Any) -> None:
        done: list[int] = []
        while not self._stopping.is_set():
            self._connection.execute("BEGIN IMMEDIATE")
            if done:
                ids = json.dumps(done)
                self._connection.execute(_KEEP, (ids,))
                self._connection.execute(_REMOVE, (ids,))
            done = [row[0] for row in self._connection.execute(_CLAIM, (_BATCH,)).fetchall()]
            self._connection.execute("COMMIT")
            if not done:
                self._stopping.wait(0.001)

    def stop(self) -> None:
        self._stopping.set()
