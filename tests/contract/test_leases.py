"""Workers, the leases by which they hold their jobs, and what happens when they die."""

from collections.abc import Iterable

import pytest

from tests.contract.store import LEASE, SECOND, TASKS, Store
from turnspit.contract.verbs import WakeKind
from turnspit.records import BlockedLoop, Claim, NewWorker, PruneRequest, Renewal, RescueReport
from turnspit.states import JobState

NOTHING = RescueReport((), (), (), ())


def named(claims: Iterable[Claim]) -> tuple[tuple[int, int], ...]:
    """Attempts as a rescue names them."""
    return tuple((claim.id, claim.fence) for claim in claims)


def test_a_worker_begins_under_a_number_never_used_again(store: Store) -> None:
    first, second = store.worker(), store.worker()
    store.engine.write(store.engine.retire_worker, second)
    store.clock.advance(2 * 24 * 3600)
    store.engine.write(store.engine.prune_jobs, PruneRequest(history=SECOND, dead=None))
    assert store.worker() > second > first


def test_workers_are_listed_newest_first(store: Store) -> None:
    new = NewWorker("host", 4711, "1.2", ("mail",), frozenset({"b", "a"}), 7, LEASE)
    worker = store.engine.write(store.engine.register_worker, new)
    other = store.worker()
    store.insert_many(2)
    store.claim(2, worker=other)
    newest, oldest = store.engine.read(store.engine.list_workers)
    assert (newest.id, newest.running, newest.live, newest.queues) == (other, 2, True, None)
    assert (oldest.id, oldest.host, oldest.pid, oldest.version) == (worker, "host", 4711, "1.2")
    assert (oldest.queues, oldest.tasks, oldest.concurrency, oldest.running) == (("mail",), ("a", "b"), 7, 0)
    assert oldest.started_at == oldest.renewed_at == store.clock.moment
    assert oldest.expires_at == store.clock.moment + LEASE


def test_ended_workers_are_listed_for_an_hour(store: Store) -> None:
    worker = store.worker()
    store.engine.write(store.engine.retire_worker, worker)
    [record] = store.engine.read(store.engine.list_workers)
    assert (record.live, record.stopped_at) == (False, store.clock.moment)
    store.clock.advance(3601)
    assert store.engine.read(store.engine.list_workers) == []


def test_a_lease_is_prolonged_from_now(store: Store) -> None:
    worker = store.worker()
    store.clock.advance(10)
    assert store.renew(worker)
    [record] = store.engine.read(store.engine.list_workers)
    assert (record.renewed_at, record.expires_at) == (store.clock.moment, store.clock.moment + LEASE)
    store.clock.advance(15)
    assert not store.engine.read(store.engine.list_workers)[0].live


def test_a_lease_that_ran_out_but_was_not_taken_is_prolonged(store: Store) -> None:
    worker = store.worker()
    store.clock.advance(1000)
    assert store.renew(worker)
    assert store.engine.read(store.engine.list_workers)[0].live


@pytest.mark.parametrize("end", ["declared dead", "retired", "never there"])
def test_a_lease_that_is_gone_cannot_be_prolonged(store: Store, end: str) -> None:
    worker, rescuer = store.worker(), store.worker()
    if end == "declared dead":
        store.outlive(rescuer)
        assert store.rescue(rescuer).workers == (worker,)
    elif end == "retired":
        store.engine.write(store.engine.retire_worker, worker)
    assert not store.renew(4711 if end == "never there" else worker)


def test_live_workers_are_left_alone(store: Store) -> None:
    worker, rescuer = store.worker(), store.worker()
    store.insert()
    store.claim_one(worker=worker)
    for _ in range(5):
        store.clock.advance(14)
        assert store.renew(worker)
        assert store.renew(rescuer)
        assert store.rescue(rescuer) == NOTHING


def test_the_jobs_of_a_dead_worker_return(store: Store) -> None:
    rescuer = store.worker()
    store.insert_many(3)
    kept = store.claim_one(worker=rescuer)
    dead = store.worker()
    claims = store.claim(2, worker=dead)
    store.outlive(rescuer)
    report = store.rescue(rescuer)
    assert report == RescueReport((dead,), tuple(claim.id for claim in claims), (), (), named(claims))
    for claim in claims:
        record = store.job(claim.id)
        assert (record.state, record.attempt, record.crashes, record.fence) == (JobState.READY, 0, 1, 1)
        assert (record.worker, record.started_at) == (None, None)
        [attempt] = record.attempts
        assert (attempt.number, attempt.outcome, attempt.error_type) == (1, "crashed", "WorkerDied")
        assert (attempt.started_at, attempt.finished_at) == (claim.started_at, store.clock.moment)
        assert attempt.worker is not None
        assert attempt.worker.endswith(f"#{dead}")
    assert store.state(kept.id) is JobState.RUNNING
    assert store.rescue(rescuer) == NOTHING


def test_a_rescued_job_keeps_the_attempts_it_had_left(store: Store) -> None:
    """A crash costs no attempt: who killed the worker is not known."""
    rescuer = store.worker()
    job = store.insert()
    store.end(store.claim_one(worker=rescuer))
    store.crash(store.claim_one(worker=store.worker()), rescuer)
    assert store.claim_one(worker=rescuer).attempt == 2
    assert store.outcomes(job) == ["failed", "crashed", "running"]


def test_a_job_that_keeps_killing_workers_is_stopped(store: Store) -> None:
    """The first crash may be a neighbour's fault; after three more, alone, the job is dead."""
    rescuer, job = store.worker(), store.insert()
    for crashes in (1, 2, 3):
        report = store.crash(store.claim_one(worker=store.worker()), rescuer)
        assert (report.returned, report.dead) == ((job,), ())
        assert store.job(job).crashes == crashes
    claim = store.claim_one(worker=store.worker())
    assert claim.crashes == 3
    report = store.crash(claim, rescuer)
    assert (report.returned, report.dead) == ((), (job,))
    record = store.job(job)
    assert (record.state, record.crashes, record.attempt, record.fence) == (JobState.DEAD, 4, 0, 4)
    assert (record.error_type, record.finished_at) == ("WorkerDied", store.clock.moment)
    assert record.fingerprint is not None
    assert record.reason == "crashed its worker 3 times, the first crash not counted"
    assert store.outcomes(job) == ["crashed"] * 4
    assert [claim.id for claim in store.claim(5, worker=rescuer)] == []


def test_the_number_of_crashes_allowed_is_the_callers(store: Store) -> None:
    rescuer, job = store.worker(), store.insert()
    store.claim_one(worker=store.worker())
    store.outlive(rescuer)
    assert store.rescue(rescuer, max_crashes=0).dead == (job,)


def test_a_retired_workers_jobs_are_returned_at_once(store: Store) -> None:
    """It ended in order, but could not hand everything back."""
    worker, rescuer = store.worker(), store.worker()
    store.insert()
    claim = store.claim_one(worker=worker)
    store.engine.write(store.engine.retire_worker, worker)
    assert store.rescue(rescuer).returned == (claim.id,)


def test_a_worker_does_not_declare_itself_dead(store: Store) -> None:
    worker = store.worker()
    store.insert()
    claim = store.claim_one(worker=worker)
    store.clock.advance(100)
    assert store.rescue(worker) == NOTHING
    assert store.state(claim.id) is JobState.RUNNING


def test_a_new_worker_declares_nobody_dead_before_it_has_lived_one_lease_time(store: Store) -> None:
    dead = store.worker()
    store.clock.advance(100)
    rescuer = store.worker()
    assert store.rescue(rescuer) == NOTHING
    store.outlive(rescuer, 14)
    assert store.rescue(rescuer) == NOTHING
    store.outlive(rescuer, 1)
    assert store.rescue(rescuer).workers == (dead,)


def test_an_outage_is_not_followed_by_workers_robbing_each_other(store: Store) -> None:
    """A suspended machine, or a store that was away: all leases have run out, and all workers live."""
    one, two = store.worker(), store.worker()
    store.outlive(one, 20)
    assert store.renew(two)
    store.outlive(one, 14)
    store.insert()
    claim = store.claim_one(worker=two)
    store.clock.advance(3600)
    assert store.rescue(one) == NOTHING, "its own lease has run out"
    assert store.renew(one)
    assert store.rescue(one) == NOTHING, "it has renewed after a gap"
    assert store.renew(two)
    store.outlive(one, 14)
    assert store.rescue(one) == NOTHING
    assert store.complete(claim).lost == []


def test_a_worker_declared_dead_declares_nobody_dead(store: Store) -> None:
    dead, rescuer = store.worker(), store.worker()
    store.outlive(rescuer)
    store.rescue(rescuer)
    store.clock.advance(16)
    assert store.rescue(dead) == NOTHING


def test_a_rescuer_that_was_held_up_robs_nobody(store: Store) -> None:
    """Of a stall that is shorter than a lease, the lease of who renewed last before it outlives those of others."""
    rescuer, other = store.worker(), store.worker()
    claim = store.claim_one(worker=other, job=store.insert())
    for _ in range(4):
        store.clock.advance(4)
        assert store.renew(other)
        assert store.renew(rescuer)
    store.clock.advance(4)
    assert store.renew(rescuer)
    store.clock.advance(12)  # nobody could write
    assert store.rescue(rescuer).workers == ()
    assert store.renew(rescuer)
    assert store.renew(other)
    assert store.complete(claim).lost == []
    store.clock.advance(4)
    assert store.renew(rescuer)
    store.clock.advance(4)
    assert store.renew(rescuer)
    store.clock.advance(7)
    assert store.rescue(rescuer).workers == (other,), "this one is silent, and the store was there"


def test_many_workers_rescue_at_once_and_each_job_once(store: Store) -> None:
    rescuers, dead = [store.worker() for _ in range(3)], store.worker()
    store.insert_many(50)
    store.claim(50, worker=dead)
    for _ in range(4):
        store.clock.advance(4)
        assert all(store.renew(rescuer) for rescuer in rescuers)
    reports = [store.rescue(rescuer) for rescuer in rescuers]
    assert [len(report.returned) for report in reports] == [50, 0, 0]
    assert {store.job(job).crashes for job in reports[0].returned} == {1}


def test_a_worker_whose_process_was_seen_to_end_is_declared_dead_at_once(store: Store) -> None:
    """Its lease still holds; nobody else's matters. The crash counts, and what it wrote late changes nothing."""
    store.insert_many(3)
    dead, other = store.worker(), store.worker()
    claims, kept = store.claim(2, worker=dead), store.claim_one(worker=other)
    declare = store.engine.declare_dead
    report = RescueReport((dead,), tuple(claim.id for claim in claims), (), (), named(claims))
    assert store.engine.write(declare, dead, 3) == report
    for claim in claims:
        record = store.job(claim.id)
        assert (record.state, record.attempt, record.crashes) == (JobState.READY, 0, 1)
        assert store.outcomes(claim.id) == ["crashed"]
    assert store.state(kept.id) is JobState.RUNNING
    assert store.complete(claims[0]).lost == [(claims[0].id, claims[0].fence)]
    assert not store.renew(dead)
    assert store.claim(5, worker=dead) == []
    assert store.engine.write(declare, dead, 3) == NOTHING, "repeated"


def test_a_crash_that_was_seen_counts_like_one_that_a_lease_told_of(store: Store) -> None:
    job = store.insert()
    for _ in range(3):
        worker = store.worker()
        store.claim_one(worker=worker)
        store.engine.write(store.engine.declare_dead, worker, 2)
    record = store.job(job)
    assert (record.state, record.crashes) == (JobState.DEAD, 3)
    assert record.reason == "crashed its worker 2 times, the first crash not counted"


def test_claims_whose_answer_was_lost_are_returned(store: Store) -> None:
    worker, other = store.worker(), store.worker()
    store.insert_many(4)
    known, lost, cancelled = store.claim(3, worker=worker)
    foreign = store.claim_one(worker=other)
    store.cancel(cancelled.id)
    returned = store.engine.write(store.engine.return_unanswered_claims, worker, {known.id})
    assert sorted(returned) == [lost.id, cancelled.id]
    assert [store.state(claim.id) for claim in (known, lost, cancelled, foreign)] == [
        JobState.RUNNING,
        JobState.READY,
        JobState.CANCELLED,
        JobState.RUNNING,
    ]
    assert (store.job(lost.id).attempt, store.job(lost.id).fence) == (0, 1)
    assert store.engine.write(store.engine.return_unanswered_claims, worker, {known.id}) == []


def test_rescue_and_registration_wake_those_who_sleep(store: Store) -> None:
    engine, rescuer = store.engine, store.worker()
    store.insert("report")
    store.claim(1)
    new = NewWorker("host", 1, "1.0", None, frozenset({"report"}), 1, LEASE)
    assert {wake.kind for wake in store.wakes(engine.register_worker, new)} == {WakeKind.READY}
    assert store.wakes(engine.register_worker, new) == []
    job = store.insert()
    store.claim_one(worker=store.worker(), job=job)
    store.outlive(rescuer)
    assert WakeKind.READY in {wake.kind for wake in store.wakes(engine.rescue_jobs, rescuer, 3)}
    store.claim_one(worker=store.worker(), job=job)
    store.outlive(rescuer)
    wakes = store.wakes(engine.rescue_jobs, rescuer, 0)
    assert [wake.jobs for wake in wakes if wake.kind is WakeKind.FINISHED] == [(job,)]


def test_a_worker_that_knows_more_than_one_task(store: Store) -> None:
    for task in ("a", "b", "c"):
        store.insert(task)
    store.claim(5)
    assert store.count(state="held") == 3
    worker = store.worker({"a", "b", *TASKS})
    assert (store.count(state="held"), store.count(state="ready")) == (1, 2)
    assert len(store.claim(5, worker=worker, tasks={"a", "b"})) == 2


def test_many_held_jobs_become_ready_in_portions(store: Store) -> None:
    """A million at once would keep a worker from registering before its deadline."""
    store.insert_many(3000, "new")
    while store.claim(1, tasks={"send"}) or store.count(state="ready"):
        pass
    assert store.count(state="held") == 3000
    store.worker({"new"})
    admitted = store.count(state="ready")
    assert 0 < admitted < 3000
    admit = store.engine.admit_jobs
    assert store.engine.write(admit, {"new"}, 500) == 500
    assert store.engine.write(admit, {"new"}, 3000) == 2500 - admitted
    assert store.engine.write(admit, {"new", "send"}, 3000) == 0
    assert store.count(state="ready") == 3000


def test_of_the_suspects_of_a_dead_worker_only_the_first_one_can_have_begun(store: Store) -> None:
    """The others waited for it: they come back as if unrun, and no innocent job ends with the one that kills."""
    first, second, third = store.insert_many(3)
    rescuer = store.default_worker
    for crash in range(1, 5):
        victim = store.worker()
        claims = store.claim(10, worker=victim)
        assert claims[0].id == first
        report = store.crash(claims[0], rescuer)
        assert store.job(first).crashes == crash
        assert [store.job(job).crashes for job in (second, third)] == [1, 1], "the first crash could be anybody's"
    assert (report.dead, sorted(report.returned)) == ((first,), [second, third])
    assert store.outcomes(first) == ["crashed"] * 4
    assert [(store.state(job), store.job(job).attempt) for job in (second, third)] == [("ready", 0)] * 2
    assert store.outcomes(second) == ["crashed"]


def test_a_suspect_that_waited_and_whose_end_was_requested_is_cancelled(store: Store) -> None:
    jobs = store.insert_many(2)
    rescuer = store.default_worker
    store.crash(store.claim(2, worker=store.worker())[0], rescuer)
    claims = store.claim(2, worker=store.worker())
    store.cancel(jobs[1])
    report = store.crash(claims[0], rescuer)
    assert (report.returned, report.cancelled) == ((jobs[0],), (jobs[1],))
    assert (store.job(jobs[0]).crashes, store.state(jobs[1])) == (2, "cancelled")


def test_what_a_person_asks_of_a_worker(store: Store) -> None:
    worker = store.worker()

    def asked() -> str | None:
        return store.engine.read(store.engine.find_duties, worker, None, TASKS).asked_to

    assert asked() is None
    assert store.engine.write(store.engine.ask_worker, worker, "quiet")
    assert asked() == "quiet"
    assert store.engine.write(store.engine.ask_worker, worker, "stop")
    assert store.engine.write(store.engine.ask_worker, worker, "quiet")
    assert asked() == "stop"
    assert store.engine.write(store.engine.renew_lease, worker, LEASE) == Renewal("stop")
    [record] = store.engine.read(store.engine.list_workers)
    assert record.asked_to == "stop"
    store.engine.write(store.engine.retire_worker, worker)
    assert not store.engine.write(store.engine.ask_worker, worker, "stop")
    assert not store.engine.write(store.engine.ask_worker, 4711, "stop")


def test_a_worker_tells_of_its_memory(store: Store) -> None:
    worker = store.worker()
    assert store.engine.write(store.engine.renew_lease, worker, LEASE, 123_456_789)
    assert store.renew(worker)
    [record] = store.engine.read(store.engine.list_workers)
    assert record.memory == 123_456_789


def test_a_worker_tells_of_its_blocked_event_loop_for_as_long_as_it_is(store: Store) -> None:
    worker = store.worker()
    store.clock.advance(6)
    began = store.clock.moment - 5 * SECOND
    assert store.engine.write(store.engine.renew_lease, worker, LEASE, None, BlockedLoop(5 * SECOND, "job 1 (hang)"))
    [record] = store.engine.read(store.engine.list_workers)
    assert (record.blocked_since, record.blocked_by) == (began, "job 1 (hang)")
    assert record.state_at(store.clock.moment) == "blocked"
    assert record.state_at(store.clock.moment + 12 * SECOND) == "late"  # what is graver is said
    assert store.renew(worker)
    [record] = store.engine.read(store.engine.list_workers)
    assert (record.blocked_since, record.blocked_by) == (None, None)
    assert record.state_at(store.clock.moment) == "live"
