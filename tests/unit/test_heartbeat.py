"""When a worker may declare others dead: only after its own renewals were on time for one lease time."""

import threading
from typing import Any

import pytest

from turnspit._runtime.worker import heartbeat
from turnspit._runtime.worker.heartbeat import Heartbeat


class SlowStore:
    """Renews each lease; a renewal may take long on the clock that the test owns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.renewals = 0
        self.may_renew = threading.Semaphore(0)
        self.renewed = threading.Semaphore(0)

    renew_lease = None

    def write_apart(self, verb: Any, *args: Any) -> bool:
        self.may_renew.acquire()
        self.now += self.takes
        self.renewals += 1
        return True


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    store = SlowStore()
    monkeypatch.setattr(heartbeat, "elapsed", lambda: store.now)
    return store


def beats(store: SlowStore, count: int, *, every: float, takes: float = 0.0) -> Heartbeat:
    """A heartbeat after some renewals, ``every`` seconds apart; only the last one takes long."""
    beat = Heartbeat(store, 1, lease=15, interval=5, on_dead=lambda: None, on_beat=lambda: None)  # type: ignore[arg-type]
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

        def write_apart(self, verb: Any, *args: Any) -> bool:
            if failures:
                raise failures.pop()
            renewed.set()
            return True

    beat = Heartbeat(Store(), 1, lease=1, interval=0.01, on_dead=lambda: None, on_beat=lambda: None)  # type: ignore[arg-type]
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

        def write_apart(self, verb: Any, *args: Any) -> bool:
            renewed.release()
            return True

    def fail() -> None:
        raise RuntimeError("no place for it")

    beat = Heartbeat(Store(), 1, lease=15, interval=0.01, on_dead=lambda: None, on_beat=fail)  # type: ignore[arg-type]
    beat.start()
    for _ in range(3):
        assert renewed.acquire(timeout=20)
    assert beat.trouble is None
    beat.stop()
    record = caplog.records[0]
    assert record.getMessage() == "worker 1 renews its lease; what it does before failed: no place for it"
    assert record.exc_info
