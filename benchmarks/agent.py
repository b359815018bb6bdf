"""The process in which a system's program runs: ``python -m benchmarks.agent PROGRAM STORE``.

It says ``{"ready": true}`` when everything is imported. Each line that it then gets is a verb as JSON, answered by one
line of JSON: ``{"verb": "one", "count": 2000}`` by ``{"seconds": 0.6}``. After ``{"verb": "work"}`` the process is a
worker until it gets another line, and then answers when its handlers began.
"""

import importlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.contract import FlowProgram, Program, starts

_WARM_UP = 20


def _timed(do: Callable[[], None]) -> dict[str, Any]:
    started = time.perf_counter()
    do()
    return {"seconds": time.perf_counter() - started}


def _prepare(program: Program, _: dict[str, Any]) -> dict[str, Any]:
    program.prepare()
    return program.settings()


def _open(program: Program, _: dict[str, Any]) -> dict[str, Any]:
    program.open()
    return {}


def _one(program: Program, ask: dict[str, Any]) -> dict[str, Any]:
    program.enqueue_one_by_one(0, _WARM_UP)
    return _timed(lambda: program.enqueue_one_by_one(_WARM_UP, ask["count"]))


def _paced(program: Program, ask: dict[str, Any]) -> dict[str, Any]:
    """Enqueue ``count`` jobs, ``rate`` a second, at random moments so that no poll can fall into step with them.

    A slow call does not delay the moments of later ones. Returns when each call began.
    """
    called, due = {}, time.monotonic()
    for number in range(ask["first"], ask["first"] + ask["count"]):
        due += random.uniform(0.5, 1.5) / ask["rate"]
        time.sleep(max(0.0, due - time.monotonic()))
        called[number] = time.monotonic_ns()
        program.enqueue_marked(number)
    return {"called": called}


def _work(program: Program, ask: dict[str, Any]) -> dict[str, Any]:
    def stop_when_told() -> None:
        sys.stdin.readline()
        program.stop()

    threading.Thread(target=stop_when_told, daemon=True).start()
    program.work(**{name: value for name, value in ask.items() if name != "verb"})
    return {"starts": starts.moments, "ran": program.ran}


def _dispatch(program: Program, ask: dict[str, Any]) -> dict[str, Any]:
    program.dispatch(ask["count"] // 10)
    return _timed(lambda: program.dispatch(ask["count"]))


def _of_flows(program: Program, ask: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(program, FlowProgram)
    answer: dict[str, Any] = getattr(program, ask.pop("verb"))(**ask)
    return answer


_VERBS: dict[str, Callable[[Program, dict[str, Any]], dict[str, Any]]] = {
    "prepare": _prepare,
    "open": _open,
    "one": _one,
    "at_once": lambda program, ask: _timed(lambda: program.enqueue_at_once(ask["count"])),
    "bulk": lambda program, ask: _timed(lambda: program.enqueue_bulk(ask["count"])),
    "fill": lambda program, ask: _timed(lambda: program.fill(ask["count"])),
    "paced": _paced,
    "work": _work,
    "dispatch": _dispatch,
    **dict.fromkeys(("flows", "chain", "fan"), _of_flows),
}


def load(name: str) -> type[Program]:
    """The program in ``benchmarks/programs/NAME.py``."""
    module = importlib.import_module(f"benchmarks.programs.{name}")
    [found] = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Program) and each.__module__ == module.__name__
    ]
    return found


def main() -> None:
    """Answer one verb after another, until stdin ends."""
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    program = load(sys.argv[1])(sys.argv[2])
    print('{"ready": true}', file=answers)
    while line := sys.stdin.readline():
        ask = json.loads(line)
        print(json.dumps(_VERBS[ask["verb"]](program, ask)), file=answers)
    answers.flush()
    os._exit(0)  # a peer's threads need not be waited for


if __name__ == "__main__":
    main()
