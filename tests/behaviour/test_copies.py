"""A task that forks, and whose copy comes back from its function: the copy ends there."""

import os
import sys

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import Batch, Retry, Turnspit

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no fork there"),
    pytest.mark.on_sqlite,
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


def fork_and_return(code: int) -> int | None:
    """In the original, how the copy ended; the copy comes back with nothing, or an error."""
    copy = os.fork()
    if copy:
        return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    if code:
        raise RuntimeError("in the copy")
    return None


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("kind", ["coroutine", "thread", "batch"])
def test_a_copy_that_comes_back(app: Turnspit, kind: str, code: int) -> None:
    retry = Retry(attempts=1)

    @app.task(retry=retry)
    async def coroutine(code: int) -> int | None:
        return fork_and_return(code)

    @app.task(retry=retry)
    def thread(code: int) -> int | None:
        return fork_and_return(code)

    @app.batch_task(size=1, retry=retry)
    def batch(items: Batch[int]) -> None:
        items[0].complete(fork_and_return(items[0].value))

    with app.worker(concurrency=1):
        assert app.tasks[kind].enqueue(code).get_result(DEADLINE) == code
