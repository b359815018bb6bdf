"""huey on SQLite: ``SqliteHuey`` with ``fsync=True`` and a consumer that polls every 10 ms instead of every 100 ms."""

import logging
from importlib.metadata import version
from typing import Any

from huey import SqliteHuey

from benchmarks.contract import Program, at_once_in_threads, payload, starts

_POLL = 0.01


class HueyProgram(Program):
    """One consumer process with one worker thread: huey serialises a process's threads on one connection."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        logging.getLogger("huey").setLevel(logging.WARNING)
        self._huey = SqliteHuey(filename=store.removeprefix("sqlite:///"), fsync=True)

        @self._huey.task()
        def deliver(to: str, order_id: int, note: str) -> None:
            self.ran += 1

        @self._huey.task()
        def mark(to: str, order_id: int, note: str) -> None:
            starts.mark(order_id)

        self._deliver, self._mark = deliver, mark
        self._consumer = self._huey.create_consumer(workers=1, initial_delay=_POLL, max_delay=_POLL, periodic=False)

    def settings(self) -> dict[str, str]:
        return {
            "version": version("huey"),
            "settings": f"fsync=True; one worker thread a process, polling every {_POLL * 1000:g} ms",
        }

    def open(self) -> None:
        self._huey.storage.queue_size()

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._deliver(**payload(number))

    def enqueue_at_once(self, count: int) -> None:
        at_once_in_threads(count, lambda: lambda number: self._deliver(**payload(number)))

    def enqueue_bulk(self, count: int) -> None:
        # huey has no bulk verb that writes many rows in one transaction; map() enqueues one by one.
        self._deliver.map([tuple(payload(number).values()) for number in range(count)])

    def fill(self, count: int) -> None:
        queue = self._huey.storage.name
        rows = ((queue, self._huey.serialize_task(self._deliver.s(**payload(number))), 0) for number in range(count))
        with self._huey.storage.db(commit=True) as cursor:
            cursor.executemany("INSERT INTO task (queue, data, priority) VALUES (?, ?, ?)", rows)

    def enqueue_marked(self, number: int) -> None:
        self._mark(**payload(number))

    def work(self, **options: Any) -> None:
        self._consumer.run()

    def stop(self) -> None:
        self._consumer.stop_flag.set()
