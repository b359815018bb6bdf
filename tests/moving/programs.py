"""A move that is killed: ``python -m tests.moving.programs SOURCE TARGET VERB CALL``.

The kill point is a verb, at its CALL-th call: all its statements have run, and none is committed.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

from turnspit.contract.verbs import Verb
from turnspit.engines import open_engine
from turnspit.operations import move_store, moving


def main(source: str, target: str, kill_point: str, call: str) -> None:
    left = int(call)

    def dying(verb: Callable[..., Verb[Any]]) -> Callable[..., Verb[Any]]:
        def run(*args: Any) -> Verb[Any]:
            nonlocal left
            result = yield from verb(*args)
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run

    engines = [open_engine(source), open_engine(target)]
    for engine in engines:
        setattr(engine, kill_point, dying(getattr(engine, kill_point)))
    with mock.patch.object(moving, "_FIRST", 3), mock.patch.object(moving, "_BATCH", 3):
        move_store(engines[0], engines[1], with_history=True, wait=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
