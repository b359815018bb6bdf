"""dramatiq on Redis: a worker of eight threads in one process."""

import logging
import threading
from importlib.metadata import version
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.contract import Program, at_once_in_threads, payload, starts

_THREADS = 8


class DramatiqProgram(Program):
    """``actor.send`` and ``dramatiq.Worker``; it has no verb for many."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        logging.getLogger("dramatiq").setLevel(logging.WARNING)
        self._stopping = threading.Event()
        self._counting = threading.Lock()
        self._broker = RedisBroker(url=store)
        dramatiq.set_broker(self._broker)

        @dramatiq.actor
        def deliver(to: str, order_id: int, note: str) -> None:
            with self._counting:
                self.ran += 1

        @dramatiq.actor
        def mark(to: str, order_id: int, note: str) -> None:
            starts.mark(order_id)

        self._deliver, self._mark = deliver, mark

    def settings(self) -> dict[str, str]:
        return {"version": version("dramatiq"), "settings": f"{_THREADS} threads a process; bulk is a loop of send"}

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._deliver.send(**payload(number))

    def enqueue_at_once(self, count: int) -> None:
        at_once_in_threads(count, lambda: lambda number: self._deliver.send(**payload(number)))

    def enqueue_bulk(self, count: int) -> None:
        self.enqueue_one_by_one(0, count)

    def enqueue_marked(self, number: int) -> None:
        self._mark.send(**payload(number))

    def work(self, **options: Any) -> None:
        worker = dramatiq.Worker(self._broker, worker_threads=_THREADS)
        worker.start()
        self._stopping.wait()
        worker.stop()

    def stop(self) -> None:
        self._stopping.set()
