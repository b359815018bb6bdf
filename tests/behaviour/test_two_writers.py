"""A busy worker stores what ended and claims in two transactions at a time; either may fail alone."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from turnspit import EngineUnavailable, Turnspit

JOBS = 1500


def run_all(app: Turnspit) -> Counter[int]:
    ran: Counter[int] = Counter()

    @app.task
    async def count(number: int) -> None:
        ran[number] += 1

    app.enqueue_many(count.new(number) for number in range(JOBS))
    with app.worker(concurrency=100, until_empty=True) as worker:
        worker.wait()
    return ran


def failing(app: Turnspit, monkeypatch: pytest.MonkeyPatch, name: str, numbers: Iterable[int]) -> list[int]:
    """Let these calls of a busy worker fail; the list of those that did."""
    write, calls, failed, wanted = getattr(app.engine, name), 0, [], set(numbers)

    async def fails(verb: Any, *args: Any) -> Any:
        nonlocal calls
        is_claim = name == "awrite_beside" and verb.__name__ == "claim_jobs_at_once"
        if is_claim or (verb.__name__ == "finish_jobs_at_once" and len(args[0]) >= 50):
            calls += 1
            if calls in wanted:
                failed.append(calls)
                raise EngineUnavailable("not now")
        return await write(verb, *args)

    monkeypatch.setattr(app.engine, name, fails)
    return failed


def test_every_job_ends_once(app: Turnspit) -> None:
    assert run_all(app) == dict.fromkeys(range(JOBS), 1)
    assert app.jobs.count(state="completed") == JOBS


@pytest.mark.parametrize("name", ["awrite", "awrite_beside"])
def test_what_one_of_them_did_counts_when_the_other_fails(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    failed = failing(app, monkeypatch, name, (1,))
    assert run_all(app) == dict.fromkeys(range(JOBS), 1)
    assert app.jobs.count(state="completed") == JOBS
    assert failed or not app.engine.has_two_writers
