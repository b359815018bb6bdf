"""Leases where the database's clock is set back, or a standby whose clock is behind took over."""

from tests.contract.store import TASKS, Store
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
