"""Jobs with a crash behind them: who begins when."""

import asyncio
from collections.abc import Callable

import pytest

from turnspit import JobContext
from turnspit._runtime.worker import suspects as module
from turnspit._runtime.worker.suspects import Suspects
from turnspit.context import claim_of
from turnspit.records import Claim


def claim(job: int, started_at: int = 0) -> Claim:
    return claim_of(JobContext.detached())._replace(id=job, crashes=1, started_at=started_at)


def with_suspects(test: Callable[[Suspects, asyncio.Event], None]) -> asyncio.Event:
    changed = asyncio.Event()

    async def main() -> None:
        suspects = Suspects(changed.set)
        test(suspects, changed)
        suspects.close()

    asyncio.run(main())
    return changed


def test_the_one_that_was_claimed_first_begins_first_and_the_next_when_it_has_ended() -> None:
    def test(suspects: Suspects, changed: asyncio.Event) -> None:
        first, second, third = claim(3, 1), claim(1, 2), claim(2, 2)
        suspects.add([third, second])
        suspects.add([first])
        for expected in (first, second, third):
            assert suspects.are_next
            assert suspects.begin(has_neighbours=False) is expected
            assert (suspects.is_alone, suspects.are_next) == (True, False)
            suspects.ended(claim(9))
            assert suspects.is_alone, "the end of another job changes nothing"
            suspects.ended(expected)
            assert not suspects.is_alone
        assert not suspects.are_next

    with_suspects(test)


def test_one_waits_for_its_neighbours_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: moment[0])

    def test(suspects: Suspects, changed: asyncio.Event) -> None:
        suspects.add([claim(1)])
        assert suspects.begin(has_neighbours=True) is None
        moment[0] += 9.9
        assert suspects.begin(has_neighbours=True) is None
        moment[0] += 0.1
        assert suspects.begin(has_neighbours=True) is not None

    with_suspects(test)


def test_those_that_wait_long_behind_a_long_one_are_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: moment[0])
    monkeypatch.setattr(module, "_ALONE", 0.0)

    async def main() -> None:
        changed = asyncio.Event()
        suspects = Suspects(changed.set)
        suspects.add([claim(1), claim(2)])
        suspects.begin(has_neighbours=False)
        assert suspects.take_idle() == [], "it runs alone still"
        await asyncio.wait_for(changed.wait(), 10)
        monkeypatch.setattr(module, "_ALONE", 10.0)
        assert (suspects.is_alone, suspects.are_next) == (False, False), "others may begin, but no suspect"
        assert suspects.take_idle() == []
        moment[0] += 10
        assert [each.id for each in suspects.take_idle()] == [2]
        assert suspects.waiting == []

    asyncio.run(main())
