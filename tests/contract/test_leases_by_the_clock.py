"""Leases of different length; and where the clock is set back, or that of a standby that took over is behind."""

from tests.contract.store import LEASE, SECOND, TASKS, Store
from turnspit.records import RescueReport

NOTHING = RescueReport((), (), (), ())


def is_anybody_dead(store: Store, worker: int) -> bool:
    """Whether this worker is called to rescue."""
    return store.engine.read(store.engine.find_duties, worker, None, TASKS).dead


def test_a_clock_that_is_set_back_keeps_no_jobs_with_the_dead(store: Store) -> None:
    """Their leases would last until the old time comes again, and nobody was allowed to declare others dead so long."""
    rescuer, live, dead = store.worker(), store.worker(), store.worker()
    store.insert()
    claim = store.claim_one(worker=dead)
    store.outlive(rescuer, 4)
    assert store.renew(live)
    store.clock.advance(-3600)
    assert store.rescue(rescuer) == NOTHING, "it has not renewed since"
    assert store.renew(rescuer)
    assert store.rescue(rescuer) == NOTHING, "others must have the time to renew"
    store.outlive(rescuer, 7)
    assert store.renew(live)
    store.outlive(rescuer, 7)
    assert store.rescue(rescuer) == NOTHING
    store.outlive(rescuer, 1)
    assert is_anybody_dead(store, rescuer)
    report = store.rescue(rescuer)
    assert (report.workers, report.returned) == ((dead,), (claim.id,))
    assert not is_anybody_dead(store, rescuer)


def test_who_has_a_shorter_lease_robs_nobody_after_an_outage(store: Store) -> None:
    """The other one asks again as slowly as its own lease allows."""
    short, long = store.worker(), store.worker(lease=4 * LEASE)
    store.outlive(short)
    store.clock.advance(3600)
    assert store.renew(short)
    store.outlive(short, 59)
    assert store.rescue(short) == NOTHING
    assert store.renew(long, 4 * LEASE)
    store.outlive(short, 59)
    assert store.rescue(short) == NOTHING
    store.outlive(short, 1)
    assert store.rescue(short).workers == (long,)


def test_who_has_a_longer_lease_does_not_take_a_small_step_for_a_death(store: Store) -> None:
    short, long = store.worker(lease=SECOND), store.worker()
    store.outlive(long)
    store.clock.advance(4)
    assert store.renew(short, SECOND)
    store.clock.advance(-3)
    assert store.rescue(long) == NOTHING


def test_a_clock_that_is_set_back_a_little_makes_nobody_dead(store: Store) -> None:
    """Who renewed last before it did so at a moment that is still to come."""
    rescuer, other = store.worker(), store.worker()
    for _ in range(4):
        store.outlive(rescuer, 4)
        store.clock.advance(0.5)
        assert store.renew(other)
    store.clock.advance(-0.25)
    assert store.rescue(rescuer) == NOTHING
    assert not is_anybody_dead(store, rescuer)
