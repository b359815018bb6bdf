"""Changes of many jobs on an engine, portion by portion and at a rate."""

import pytest

from tests.contract.store import Store
from turnspit.errors import ConfigurationError
from turnspit.jobs import JobFilter
from turnspit.operations import CANCEL, DELETE, REPLAY, RUN_NOW, JobChange, Portions
from turnspit.operations import portions as module
from turnspit.records import UniqueRule
from turnspit.states import JobState


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    clock = Hand()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def work(store: Store, portions: Portions) -> bool:
    return portions.take(store.engine.write(*portions.next()))


def dead_letters(store: Store, count: int) -> list[int]:
    return [store.kill() for _ in range(count)]


def test_a_replay_at_a_rate_makes_some_jobs_ready_each_tenth_of_a_second(store: Store, hand: Hand) -> None:
    jobs = dead_letters(store, 5)
    portions = Portions(store.engine, REPLAY, JobFilter(state=JobState.DEAD), rate=20)
    for done in (2, 4, 5):
        assert work(store, portions)
        assert portions.changed == done
        assert store.ids(state=JobState.READY) == jobs[:done][::-1]
        assert store.ids(state=JobState.DEAD) == jobs[done:][::-1], "what it has not reached is as it was"
        hand.now += 0.02
        assert portions.rest() == pytest.approx(0.08 if done < 5 else 0.03)
    assert not work(store, portions)
    assert portions.changed == 5


def test_time_that_a_slow_store_took_is_not_made_up_for(store: Store, hand: Hand) -> None:
    dead_letters(store, 3)
    portions = Portions(store.engine, REPLAY, JobFilter(state=JobState.DEAD), rate=0.5)
    for spent, rest in ((9.0, 0.0), (0.0, 2.0), (1.5, 0.5)):
        assert work(store, portions)
        hand.now += spent
        assert portions.rest() == rest


def test_the_slowest_rate_there_is_rests_for_a_day(store: Store, hand: Hand) -> None:
    store.kill()
    portions = Portions(store.engine, REPLAY, JobFilter(state=JobState.DEAD), rate=5e-324)
    assert work(store, portions)
    assert portions.rest() == 86_400


def test_what_is_interrupted_goes_on_with_the_rest(store: Store) -> None:
    jobs = dead_letters(store, 4)
    assert work(store, Portions(store.engine, REPLAY, JobFilter(state=JobState.DEAD), rate=30))
    again = Portions(store.engine, REPLAY, JobFilter(state=JobState.DEAD), rate=30)
    assert work(store, again)
    assert not work(store, again)
    assert again.changed == 1
    assert store.ids(state=JobState.READY) == jobs[::-1]


def test_a_job_whose_key_is_taken_is_not_counted(store: Store) -> None:
    rule = UniqueRule("scheduled,held,ready,running")
    first = store.insert(unique_key="order-7", unique_rule=rule)
    store.kill(first)
    store.insert(unique_key="order-7", unique_rule=rule)
    portions = Portions(store.engine, REPLAY, JobFilter(state=JobState.DEAD), rate=1)
    assert work(store, portions)
    assert (portions.changed, portions.rest()) == (0, 0.0)
    assert store.state(first) is JobState.DEAD


@pytest.mark.parametrize(
    ("change", "state"),
    [(CANCEL, JobState.CANCELLED), (RUN_NOW, JobState.READY), (DELETE, None)],
    ids=["cancel", "run now", "delete"],
)
def test_every_change_can_have_a_rate(store: Store, change: JobChange, state: JobState | None) -> None:
    for _ in range(3):
        store.insert(delay=60_000_000)
    portions = Portions(store.engine, change, JobFilter(queue="default"), rate=10, reason="no")
    counts = []
    while work(store, portions):
        counts.append(portions.changed)
    assert counts == [1, 2, 3]
    assert store.count(state=state) == (0 if state is None else 3)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 100_001, True, "50"])
def test_what_is_no_rate(store: Store, rate: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^a rate is more than 0 and at most 100,000 jobs a second, not "):
        Portions(store.engine, REPLAY, JobFilter(), rate=rate)  # type: ignore[arg-type]
