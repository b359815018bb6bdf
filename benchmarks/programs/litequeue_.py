"""litequeue: a queue of messages. The worker around it is ours: pop, run, mark as done, 5 ms sleep when empty."""

import json
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from litequeue import LiteQueue, Message

from benchmarks.contract import Program, at_once_in_threads, payload, starts

_POLL = 0.005


class LitequeueProgram(Program):
    """A loop of ``pop`` and ``done``, one message at a time, which is all that its API offers."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._stopping = threading.Event()

    def settings(self) -> dict[str, str]:
        return {
            "version": version("litequeue"),
            "settings": "synchronous=FULL set on its connection (its own default is NORMAL); busy timeout 30 s; "
            f"our loop of pop() and done(), polling every {_POLL * 1000:g} ms",
        }

    def _connect(self) -> LiteQueue:
        queue = LiteQueue(self.store.removeprefix("sqlite:///"), timeout=30)
        queue.conn.execute("PRAGMA synchronous = FULL")
        return queue

    def prepare(self) -> None:
        self._connect().conn.close()

    def open(self) -> None:
        self._queue = self._connect()

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._queue.put(_message(number))

    def enqueue_at_once(self, count: int) -> None:
        def make_call() -> Callable[[int], Any]:
            queue = self._connect()
            return lambda number: queue.put(_message(number))

        at_once_in_threads(count, make_call)

    def enqueue_bulk(self, count: int) -> None:
        with self._queue.transaction(mode="IMMEDIATE"):
            for number in range(count):
                self._queue.put(_message(number))

    def enqueue_marked(self, number: int) -> None:
        self._queue.put(_message(number, mark=True))

    def work(self, **options: Any) -> None:
        while not self._stopping.is_set():
            message: Message | None = self._queue.pop()
            if message is None:
                self._stopping.wait(_POLL)
                continue
            _handle(**json.loads(message.data))
            self._queue.done(message.message_id)

    def stop(self) -> None:
        self._stopping.set()


def _message(number: int, *, mark: bool = False) -> str:
    return json.dumps(payload(number) | {"mark": mark})


def _handle(to: Any, order_id: int, note: Any, mark: bool) -> None:
    if mark:
        starts.mark(order_id)
