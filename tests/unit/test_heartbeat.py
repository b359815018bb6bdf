"""When a worker may declare others dead: only after its own renewals were on time for one lease time."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from turnspit import Turnspit
from turnspit._runtime.worker import heartbeat, registration
from turnspit._runtime.worker.heartbeat import Heartbeat
from turnspit.records import BlockedLoop, Renewal


class SlowStore:
    """Renews each lease; a renewal may take long on the clock that the test owns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.renewals = 0
        self.may_renew = threading.Semaphore(0)
        self.renewed = threading.Semaphore(0)

    renew_lease = None

    def find_danger(self) -> None:
        return None

    def write_apart(self, verb: Any, *args: Any) -> Renewal:
        self.may_renew.acquire()
        self.now += self.takes
        self.renewals += 1
        return Renewal(None)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    store = SlowStore()
    monkeypatch.setattr(heartbeat, "elapsed", lambda: store.now)
    return store


def make_heartbeat(
    store: Any, *, lease: float, interval: float, look: Callable[[], BlockedLoop | None] = lambda: None
) -> Heartbeat:
    since = heartbeat.elapsed()
    return Heartbeat(store, 1, since=since, lease=lease, interval=interval, on_dead=lambda: None, look=look)


def beats(store: SlowStore, count: int, *, every: float, takes: float = 0.0) -> Heartbeat:
    """A heartbeat after some renewals, ``every`` seconds apart; only the last one takes long."""
    beat = make_heartbeat(store, lease=15, interval=5)
    for number in range(count):
        store.now += every
        store.takes = takes if number == count - 1 else 0.0
        store.may_renew.release()
        beat._beat()
    return beat


def test_renewals_on_time_for_one_lease_time(store: SlowStore) -> None:
    assert not beats(store, 2, every=5).is_gapless
    assert beats(store, 3, every=5).is_gapless


def test_a_lease_that_ran_out_while_the_machine_slept_is_not_kept(store: SlowStore) -> None:
    """Others have its jobs by now: on waking none of those that waited here may begin."""
    beat = beats(store, 4, every=5)
    assert beat.is_current
    store.now += 15
    assert not beat.is_current
    assert not beat.is_gapless


def test_one_that_was_held_up_believes_that_others_were_too(store: SlowStore) -> None:
    """Its own lease did not run out; but who else waited for the same lock may not have had its turn yet."""
    beat = beats(store, 4, every=5, takes=6)
    assert beat.is_current
    assert not beat.is_gapless


def test_an_error_that_nobody_foresaw_does_not_stop_the_heart(caplog: pytest.LogCaptureFixture) -> None:
    """The worker would have gone on without its lease, and started nothing any more."""
    renewed = threading.Event()
    failures = [OSError(24, "Too many open files")]

    class Store:
        renew_lease = None

        def find_danger(self) -> None:
            return None

        def write_apart(self, verb: Any, *args: Any) -> Renewal:
            if failures:
                raise failures.pop()
            renewed.set()
            return Renewal(None)

    beat = make_heartbeat(Store(), lease=1, interval=0.01)
    beat.start()
    assert renewed.wait(20)
    beat.stop()
    assert "worker 1 could not renew its lease: [Errno 24] Too many open files" in caplog.text


def test_what_goes_wrong_before_a_renewal_does_not_keep_the_lease_from_being_renewed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor is it said to be the store's trouble."""
    renewed = threading.Semaphore(0)

    class Store:
        renew_lease = None

        def find_danger(self) -> None:
            return None

        def write_apart(self, verb: Any, *args: Any) -> Renewal:
            renewed.release()
            return Renewal(None)

    def fail() -> BlockedLoop | None:
        raise RuntimeError("no place for it")

    beat = make_heartbeat(Store(), lease=15, interval=0.01, look=fail)
    beat.start()
    for _ in range(3):
        assert renewed.acquire(timeout=20)
    assert beat.trouble is None
    beat.stop()
    record = caplog.records[0]
    assert record.getMessage() == "worker 1 renews its lease; its look at the event loop failed: no place for it"
    assert record.exc_info


def test_a_blocked_worker_that_was_asked_to_stop_is_told_once() -> None:
    """A second time would mean: at once."""
    renewed, told = threading.Semaphore(0), []

    class Store:
        renew_lease = None

        def find_danger(self) -> None:
            return None

        def write_apart(self, verb: Any, *args: Any) -> Renewal:
            renewed.release()
            return Renewal("stop")

    blocked: list[BlockedLoop | None] = [None]
    beat = make_heartbeat(Store(), lease=15, interval=0.01, look=lambda: blocked[0])
    beat._stop_blocked = lambda: told.append(beat.worker)
    beat.start()
    for _ in range(3):
        assert renewed.acquire(timeout=20)
    assert told == []  # one whose loop answers hears of it there
    blocked[0] = BlockedLoop(1, "job 1 (hang)")
    for _ in range(4):
        assert renewed.acquire(timeout=20)
    beat.stop()
    assert told == [1]


def test_the_first_lease_counts_from_before_the_store_was_asked_for_it(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a worker that could not renew it would claim for as long as its answer had taken, after its end."""
    order: list[str] = []
    original = app.engine.awrite

    def look() -> float:
        order.append("looked at the clock")
        return 7.0

    async def awrite(verb: Any, *arguments: Any, **options: Any) -> Any:
        order.append(verb.__name__)
        return await original(verb, *arguments, **options)

    monkeypatch.setattr(registration, "elapsed", look)
    monkeypatch.setattr(app.engine, "awrite", awrite)
    with app.worker():
        assert order[:2] == ["looked at the clock", "register_worker"]
