"""A busy worker stores what ended and claims by transactions that do not wait for each other; either may fail alone."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, wait_until
from tests.writes import before_writes
from turnspit import EngineUnavailable, Retry, Turnspit
from turnspit._runtime.worker import exchanges, finisher, prefetch

JOBS = 1500


def enqueue_all(app: Turnspit) -> Counter[int]:
    ran: Counter[int] = Counter()

    @app.task
    async def count(number: int) -> None:
        ran[number] += 1

    app.enqueue_many(count.new(number) for number in range(JOBS))
    return ran


def run_all(app: Turnspit) -> Counter[int]:
    ran = enqueue_all(app)
    with app.worker(concurrency=100, until_empty=True) as worker:
        worker.wait()
    return ran


def failing(app: Turnspit, monkeypatch: pytest.MonkeyPatch, name: str, numbers: Iterable[int]) -> list[int]:
    """Let these calls of a busy worker fail; the list of those that did."""
    write, calls, failed, wanted = getattr(app.engine, name), 0, [], set(numbers)

    async def fails(verb: Any, *args: Any) -> Any:
        nonlocal calls
        is_claim = verb.__name__ == "claim_jobs_at_once"
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


@pytest.mark.parametrize("held", ["claim_jobs_at_once", "finish_jobs_at_once"])
def test_neither_waits_for_the_other(app: Turnspit, monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    answered: Counter[str] = Counter()
    begun: Counter[str] = Counter()
    kept = asyncio.Event()

    def keeping(name: str) -> None:
        write = getattr(app.engine, name)

        async def keep(verb: Any, *args: Any, **options: Any) -> Any:
            begun[verb.__name__] += 1
            is_batch = verb.__name__ == "finish_jobs_at_once" and len(args[0]) >= 50
            is_later = verb.__name__ == "claim_jobs_at_once" and begun[verb.__name__] > 1
            is_busy = app.engine.has_two_writers and (is_batch or is_later)
            if is_busy and verb.__name__ == held and not kept.is_set():
                async with asyncio.timeout(DEADLINE):
                    await kept.wait()
            result = await write(verb, *args, **options)
            if is_busy:
                answered[verb.__name__] += 1
                if verb.__name__ != held:
                    kept.set()
            return result

        monkeypatch.setattr(app.engine, name, keep)

    keeping("awrite")
    keeping("awrite_beside")
    assert run_all(app) == dict.fromkeys(range(JOBS), 1)
    assert app.jobs.count(state="completed") == JOBS
    assert (answered.keys() >= {"claim_jobs_at_once", "finish_jobs_at_once"}) == app.engine.has_two_writers


def test_a_worker_that_cannot_store_what_ended_claims_no_more(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finisher, "_FAR_BEHIND", 300)
    monkeypatch.setattr(prefetch, "_MOST_AHEAD", 100)
    is_away, failures = True, 0

    def fail(verb: Any, args: tuple[Any, ...]) -> None:
        nonlocal failures
        if is_away and (verb.__name__ == "finish_jobs_at_once" or (verb is exchanges.exchange and args[1].ended)):
            failures += 1
            raise EngineUnavailable("not now")

    before_writes(app, fail)
    ran = enqueue_all(app)
    with app.worker(concurrency=100, until_empty=True) as worker:
        wait_until(lambda: failures >= 5, "a store that has refused for some time what ended")
        assert (300 if app.engine.has_two_writers else 100) <= len(ran) <= 300 + 2 * (100 + 100)
        is_away = False
        worker.wait()
    assert ran == dict.fromkeys(range(JOBS), 1)
    assert app.jobs.count(state="completed") == JOBS


def test_failed_attempts_are_stored_a_hundred_at_a_time(app: Turnspit) -> None:
    """Each takes statements of its own: all in one transaction would be given up at the deadline, again and again."""
    sizes: list[int] = []

    def count(verb: Any, args: tuple[Any, ...]) -> None:
        if verb is exchanges.exchange:
            sizes.append(len(args[1].ended))

    before_writes(app, count)

    @app.task(retry=Retry(attempts=1))
    async def fail(number: int) -> None:
        await asyncio.sleep(0)
        raise ValueError(number)

    app.enqueue_many(fail.new(number) for number in range(500))
    with app.worker(concurrency=500, until_empty=True) as worker:
        worker.wait()
    assert app.jobs.count(state="dead") == 500
    assert max(sizes) == 100
