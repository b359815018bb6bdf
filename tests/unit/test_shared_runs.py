"""Functions that may wait for a lock, each on a thread of its own."""

import asyncio
import threading

import pytest

from turnspit import EngineUnavailable
from turnspit.engines.shared_runs import SharedRuns, await_run, wait_for_run


class Work:
    """Runs until it is told to end."""

    def __init__(self) -> None:
        self.begun = 0
        self.end = threading.Event()

    def run(self) -> int:
        self.begun += 1
        assert self.end.wait(20)
        return self.begun


def late() -> str:
    return "too late"


def test_who_gives_up_leaves_the_run_to_the_others() -> None:
    runs, work = SharedRuns(), Work()
    for _ in range(3):
        with pytest.raises(EngineUnavailable, match="too late"):
            wait_for_run(runs.start(work.run), 0.01, late)
        with pytest.raises(EngineUnavailable, match="too late"):
            asyncio.run(await_run(runs.start(work.run), 0.01, late))
    run = runs.start(work.run)
    work.end.set()
    assert wait_for_run(run, 10, late) == 1, "it was the same for all"
    assert asyncio.run(await_run(runs.start(work.run), 10, late)) == 2, "a new one after that"


def test_an_error_is_told_and_not_kept() -> None:
    runs, errors = SharedRuns(), [ValueError("once")]

    def fail_once() -> str:
        if errors:
            raise errors.pop()
        return "well"

    with pytest.raises(ValueError, match="once"):
        wait_for_run(runs.start(fail_once), 10, late)
    assert wait_for_run(runs.start(fail_once), 10, late) == "well"


def test_one_that_ctrl_c_kept_from_beginning_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    runs = SharedRuns()
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            runs.start(late)
    assert wait_for_run(runs.start(late), 10, late) == "too late"


def test_none_begins_during_a_pause() -> None:
    runs, work = SharedRuns(), Work()
    work.end.set()
    runs.pause()
    run = runs.start(work.run)
    assert not runs.is_running
    assert work.begun == 0
    runs.resume()
    assert wait_for_run(run, 10, late) == 1


def test_one_for_which_no_thread_can_be_started_keeps_back_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, work, start, refused = SharedRuns(), Work(), threading.Thread.start, [RuntimeError("can't start new thread")]

    def refuse_once(thread: threading.Thread) -> None:
        if refused:
            raise refused.pop()
        start(thread)

    work.end.set()
    runs.pause()
    first, second = runs.start(late), runs.start(work.run)
    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    runs.resume()
    with pytest.raises(EngineUnavailable, match="not carried out: can't start new thread"):
        wait_for_run(first, 10, late)
    assert wait_for_run(second, 10, late) == 1
    assert wait_for_run(runs.start(late), 10, late) == "too late", "another try"
