"""The process in which a system does one thing: ``python -m benchmarks.agent SYSTEM STORE VERB [NUMBER]``.

It says ``ready`` when everything is imported and the store is open, waits for a line, does its work, and says what
it has to report as one line of JSON. A worker works until it gets a second line.
"""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contract import System, starts
from benchmarks.systems import load

_WARM_UP = 20
_GAP = (0.004, 0.012)


def _timed(do: Callable[[], None]) -> dict[str, Any]:
    started = time.perf_counter()
    do()
    return {"seconds": time.perf_counter() - started}


def _one(system: System, count: int) -> dict[str, Any]:
    system.enqueue_one_by_one(0, _WARM_UP)
    return _timed(lambda: system.enqueue_one_by_one(_WARM_UP, count))


def _at_once(system: System, count: int) -> dict[str, Any]:
    system.enqueue_one_by_one(0, _WARM_UP)
    return _timed(lambda: system.enqueue_at_once(count))


def _bulk(system: System, count: int) -> dict[str, Any]:
    system.enqueue_one_by_one(0, _WARM_UP)
    return _timed(lambda: system.enqueue_bulk(count))


def _fill(system: System, count: int) -> dict[str, Any]:
    return _timed(lambda: system.fill(count))


def _work(system: System, _: int) -> dict[str, Any]:
    def stop_when_told() -> None:
        sys.stdin.readline()
        system.stop()

    threading.Thread(target=stop_when_told, daemon=True).start()
    system.work()
    return {"starts": starts.moments}


def _enqueue_paced(system: System, count: int) -> dict[str, Any]:
    """Enqueue with small random gaps, so that no poll can fall into step; when each call began."""
    called = {}
    for number in range(count):
        time.sleep(random.uniform(*_GAP))
        called[number] = time.monotonic_ns()
        system.enqueue_marked(number)
    return {"called": called}


def _wake_inside(system: System, count: int) -> dict[str, Any]:
    waits = []
    with system.inside():
        for number in range(count + _WARM_UP):
            time.sleep(random.uniform(*_GAP))
            called = time.monotonic_ns()
            system.enqueue_marked(number)
            waits.append(starts.wait(number) - called)
    return {"waits": waits[_WARM_UP:]}


def _dispatch(system: System, count: int) -> dict[str, Any]:
    system.dispatch(count // 10)
    return _timed(lambda: system.dispatch(count))


_VERBS: dict[str, Callable[[System, int], dict[str, Any]]] = {
    "one": _one,
    "at_once": _at_once,
    "bulk": _bulk,
    "fill": _fill,
    "work": _work,
    "enqueue_paced": _enqueue_paced,
    "wake_inside": _wake_inside,
    "dispatch": _dispatch,
}


def main() -> None:
    """Do what the command line says."""
    name, store, verb, number = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    system = load(name)(store)
    system.open()
    print("ready", flush=True)
    if not sys.stdin.readline():
        return
    report = _VERBS[verb](system, number)
    print(json.dumps(report), flush=True)
    sys.stdout.flush()
    os._exit(0)  # a peer's threads need not be waited for


if __name__ == "__main__":
    main()
