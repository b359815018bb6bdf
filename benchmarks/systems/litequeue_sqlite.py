"""litequeue: a queue of messages. The worker around it is ours: pop, run, mark as done, 5 ms sleep when empty."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from litequeue import LiteQueue, Message

from benchmarks.contract import AT_ONCE, System, payload, starts
from benchmarks.systems.sqlite_store import Look

_POLL = 0.005


class LitequeueOnSqlite(System):
    """A loop of ``pop`` and ``done``, one message at a time, which is all that its API offers."""

    name = "litequeue"
    share = 0.03

    def __init__(self, store: Path) -> None:
        super().__init__(store)
        self._look = Look(store)
        self._stopping = threading.Event()

    @classmethod
    def settings(cls) -> dict[str, str]:
        return {
            "version": version("litequeue"),
            "durability": "WAL, synchronous=FULL (set on its connection; its own default is NORMAL)",
            "settings": f"busy timeout 30 s; our loop of pop() and done(), polling every {_POLL * 1000:g} ms",
            "sqlite": sqlite3.sqlite_version,
        }

    def _connect(self) -> LiteQueue:
        queue = LiteQueue(self.store, timeout=30)
        queue.conn.execute("PRAGMA synchronous = FULL")
        return queue

    def open(self) -> None:
        self._queue = self._connect()

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._queue.put(_message(number))

    def enqueue_at_once(self, count: int) -> None:
        def enqueue_some(first: int) -> None:
            queue = self._connect()
            for number in range(first, count, AT_ONCE):
                queue.put(_message(number))

        threads = [threading.Thread(target=enqueue_some, args=(first,)) for first in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def enqueue_bulk(self, count: int) -> None:
        with self._queue.transaction(mode="IMMEDIATE"):
            for number in range(count):
                self._queue.put(_message(number))

    def enqueue_marked(self, number: int) -> None:
        self._queue.put(_message(number, mark=True))

    def work(self) -> None:
        queue = self._connect()
        while not self._stopping.is_set():
            message: Message | None = queue.pop()
            if message is None:
                self._stopping.wait(_POLL)
                continue
            _handle(**json.loads(message.data))
            queue.done(message.message_id)

    def stop(self) -> None:
        self._stopping.set()

    @contextmanager
    def inside(self) -> Iterator[None]:
        thread = threading.Thread(target=self.work)
        thread.start()
        yield
        self.stop()
        thread.join()

    def is_drained(self) -> bool:
        return not self._look.number("SELECT 1 FROM Queue WHERE status IN (0, 1) LIMIT 1")

    def count_completed(self) -> int:
        return self._look.number("SELECT count(*) FROM Queue WHERE status = 2")

    def count_untouched(self) -> int:
        return self._look.number("SELECT count(*) FROM Queue WHERE status = 0")


def _message(number: int, *, mark: bool = False) -> str:
    return json.dumps(payload(number) | {"mark": mark})


def _handle(to: Any, order_id: int, note: Any, mark: bool) -> None:
    if mark:
        starts.mark(order_id)
