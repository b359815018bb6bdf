"""Who gets which job, in which order."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.store import SECOND, TASKS, Store
from turnspit.contract import Engine
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.engines import open_engine
from turnspit.engines.postgres import jobs as postgres_jobs
from turnspit.engines.sqlite import jobs as sqlite_jobs
from turnspit.engines.verbs import bounds, claims
from turnspit.records import Claim, ClaimAtOnce, ClaimRequest, EndingMove, JobChanges, NewWorker
from turnspit.states import JobState


def test_a_claimed_job_runs_under_its_worker(store: Store) -> None:
    job = store.insert(args='{"n": 1}', priority=3, retry="{}", timeout=5, tags='["a"]', metadata='{"k": 1}')
    store.clock.advance(2)
    worker = store.worker()
    claim = store.claim_one(worker=worker)
    assert (claim.id, claim.fence, claim.attempt, claim.crashes) == (job, 1, 1, 0)
    assert (claim.task, claim.queue, claim.args, claim.priority) == ("send", "default", '{"n": 1}', 3)
    assert (claim.retry, claim.timeout, claim.tags, claim.metadata) == ("{}", 5, '["a"]', '{"k": 1}')
    assert claim.started_at == store.clock.moment == claim.created_at + 2 * SECOND
    record = store.job(job)
    assert (record.state, record.fence, record.started_at) == (JobState.RUNNING, 1, store.clock.moment)
    assert record.worker is not None
    assert record.worker.endswith(f"#{worker}")
    assert store.outcomes(job) == ["running"]
    assert store.claim(10) == []


def test_larger_priority_first_then_smaller_id(store: Store) -> None:
    jobs = [store.insert(priority=priority) for priority in (0, 5, -3, 5, 0, 32767, -32768)]
    expected = [jobs[index] for index in (5, 1, 3, 0, 4, 2, 6)]
    assert [claim.id for claim in store.claim(4)] == expected[:4]
    assert [claim.id for claim in store.claim(4)] == expected[4:]


def test_a_batch_comes_in_its_order_too(store: Store) -> None:
    jobs = [store.insert(priority=number % 7) for number in range(60)]
    order = [claim.id for claim in store.claim(100)]
    assert order == sorted(jobs, key=lambda job: (-((job - jobs[0]) % 7), job))


def test_the_limit_is_kept(store: Store) -> None:
    store.insert_many(10)
    assert [len(store.claim(4)) for _ in range(4)] == [4, 4, 2, 0]


def test_only_the_queues_asked_for(store: Store) -> None:
    mail, report, _ = store.insert(queue="mail"), store.insert(queue="report"), store.insert(queue="default")
    assert [claim.id for claim in store.claim(5, queues=("mail",))] == [mail]
    assert [claim.id for claim in store.claim(5, queues=("mail", "report", "none"))] == [report]
    assert [claim.queue for claim in store.claim(5)] == ["default"]


def test_a_busy_queue_cannot_starve_another(store: Store) -> None:
    store.insert_many(1000, queue="busy")
    quiet = [store.insert(queue="quiet", priority=-100) for _ in range(3)]
    taken = Counter(claim.queue for claim in store.claim(10))
    assert taken == {"busy": 7, "quiet": 3}
    assert [store.state(job) for job in quiet] == ["running"] * 3


def test_the_round_begins_behind_the_queue_served_last(store: Store) -> None:
    for queue in ("a", "b", "c"):
        store.insert_many(10, queue=queue)
    served, after = [], ""
    for _ in range(7):
        after = store.claim_one(after=after).queue
        served.append(after)
    assert served == ["a", "b", "c", "a", "b", "c", "a"]


@pytest.mark.parametrize("limit", [3, 64])
def test_each_of_a_thousand_queues_is_served(store: Store, limit: int) -> None:
    queues = [f"q{number:04}" for number in range(1000)]
    for queue in queues:
        store.insert(queue=queue)
    store.insert_many(3000, queue="q0000-busy")
    served: Counter[str] = Counter()
    after, rounds = "", 0
    while len(served) <= 1000:
        claims = store.claim(limit, after=after)
        assert len(claims) == limit
        served.update(claim.queue for claim in claims)
        after = claims[-1].queue
        rounds += 1
        assert rounds < 3000 / limit, f"{1001 - len(served)} queues were not served"
    assert set(served) == {*queues, "q0000-busy"}


def test_each_claim_has_a_higher_fence(store: Store) -> None:
    """Fence and attempt are two numbers: the fence never goes back, the attempt is what the retry policy counts."""
    job, rescuer = store.insert(), store.worker()
    fences, attempts = [], []

    def claim() -> Claim:
        claim = store.claim_one(job=job)
        fences.append(claim.fence)
        attempts.append(claim.attempt)
        return claim

    store.end(claim())
    store.give_back(claim())
    store.crash(claim(), rescuer)
    store.default_worker = rescuer
    store.end(claim())
    store.complete(claim())
    store.replay(job, state="completed")
    store.end(claim(), EndingMove.DEAD)
    store.replay(job)
    last = claim()
    store.cancel(job)
    store.end(last)
    store.replay(job, state="cancelled")
    claim()
    assert fences == list(range(1, 9))
    assert attempts == [1, 2, 2, 2, 3, 1, 1, 1]


def test_the_jobs_of_another_live_worker_are_left_untouched(store: Store) -> None:
    other = store.worker({"report"})
    foreign, own = store.insert("report"), store.insert("send")
    for _ in range(3):
        assert [claim.id for claim in store.claim(5)] in ([own], [])
    record = store.job(foreign)
    assert (record.state, record.fence, record.reason) == (JobState.READY, 0, None)
    assert [claim.id for claim in store.claim(5, worker=other, tasks={"report"})] == [foreign]


def test_jobs_that_no_live_worker_knows_are_held(store: Store) -> None:
    unknown, own = store.insert_many(20, "report"), store.insert("send")
    assert [claim.id for claim in store.claim(5)] == [own]
    assert {store.state(job) for job in unknown} == {JobState.HELD}
    record = store.job(unknown[0])
    assert record.reason is not None
    assert "report" in record.reason
    assert (record.attempt, record.worker, record.attempts) == (0, None, ())


def test_held_jobs_cannot_slow_a_claim_and_go_in_portions(store: Store) -> None:
    """Setting jobs aside holds the write lock, so one claim does not do all of it, and asks to be repeated."""
    for _ in range(3):
        store.insert_many(1000, "report")
    own = store.insert("send")
    request = ClaimRequest(store.default_worker, 5, frozenset({"send"}))
    wakes = store.wakes(store.engine.claim_jobs, request)
    assert store.state(own) is JobState.RUNNING
    assert 0 < store.count(state="held") < 3000
    assert Wake(WakeKind.READY) in wakes
    assert store.wakes(store.engine.claim_jobs, request) == []
    assert store.count(state="held") == 3000


def test_a_worker_that_knows_the_task_frees_its_held_jobs(store: Store) -> None:
    job = store.insert("report")
    store.claim(5)
    assert store.state(job) is JobState.HELD
    worker = store.worker({"report"})
    assert (store.state(job), store.job(job).reason) == (JobState.READY, None)
    assert [claim.id for claim in store.claim(5, worker=worker, tasks={"report"})] == [job]


def test_no_job_is_held_while_its_worker_only_missed_a_renewal(store: Store) -> None:
    """It renews and goes on under its id, so nothing would free what was held meanwhile."""
    late, looker = store.worker({"report"}), store.worker({"send"})
    job = store.insert("report")
    store.clock.advance(20)
    assert store.renew(looker)
    assert store.claim(5, worker=looker, tasks={"send"}) == []
    assert store.renew(late)
    assert [claim.id for claim in store.claim(5, worker=late, tasks={"report"})] == [job]


def test_jobs_of_a_worker_declared_dead_are_held(store: Store) -> None:
    store.worker({"report"})
    looker = store.worker({"send"})
    job = store.insert("report")
    store.outlive(looker)
    store.rescue(looker)
    store.claim(5, worker=looker, tasks={"send"})
    assert store.state(job) is JobState.HELD


def test_a_worker_that_was_declared_dead_gets_nothing(store: Store) -> None:
    dead, rescuer = store.worker(), store.worker()
    store.outlive(rescuer)
    assert store.rescue(rescuer).workers == (dead,)
    job = store.insert()
    assert store.claim(5, worker=dead) == []
    assert store.claim(1, worker=dead, job=job) == []
    assert [claim.id for claim in store.claim(5, worker=rescuer)] == [job]


def test_one_chosen_job(store: Store) -> None:
    first, second = store.insert(), store.insert(queue="other")
    foreign, later = store.insert("report"), store.insert(delay=SECOND)
    assert [claim.id for claim in store.claim(5, job=second)] == [second]
    assert [store.claim(5, job=job) for job in (second, foreign, later, 9999)] == [[], [], [], []]
    assert store.state(first) is JobState.READY


@pytest.mark.parametrize(
    "spoil",
    [
        lambda store, job: store.cancel(job),
        lambda store, job: store.delete(job),
        lambda store, job: store.engine.write(store.engine.update_job, job, JobChanges(at=store.clock.moment + SECOND)),
    ],
    ids=["cancelled", "deleted", "later"],
)
def test_what_is_not_ready_is_not_claimed(store: Store, spoil: Callable[[Store, int], object]) -> None:
    spoil(store, store.insert())
    store.insert(delay=SECOND)
    store.kill()
    assert store.claim(10) == []


def test_threads_and_engines_that_race_never_get_the_same_job(store: Store, url: str) -> None:
    """Four threads on two engines: each engine as another process would open it."""
    jobs = store.insert_many(400)
    other = open_engine(url, durability="relaxed")
    start = threading.Barrier(4)
    new = NewWorker("host", 1, "1.0", None, frozenset({"send"}), 1, 10**12)

    def work(engine: Engine) -> list[tuple[int, int]]:
        worker = engine.write(engine.register_worker, new)
        got: list[tuple[int, int]] = []
        start.wait()
        while claims := engine.write(engine.claim_jobs, ClaimRequest(worker, 7, frozenset({"send"}))):
            if not got:
                start.wait()  # none can take all before the others have begun
            got += [(claim.id, claim.fence) for claim in claims]
        return got

    with ThreadPoolExecutor(4) as threads:
        shares = list(threads.map(work, [store.engine, other, store.engine, other]))
    other.close()
    claimed = [claim for share in shares for claim in share]
    assert sorted(claimed) == [(job, 1) for job in jobs]
    assert all(shares)


@pytest.mark.parametrize("verb", ["claim_jobs", "claim_jobs_at_once"])
def test_after_a_slow_claim_the_next_ones_look_behind_it_first(store: Store, verb: str) -> None:
    """What has the same priority, then what has less; what is missed there is found once that is not enough."""
    urgent = [store.insert(priority=5) for _ in range(15)]
    others = [store.insert() for _ in range(15)]

    def claim(limit: int) -> list[int]:
        request = ClaimRequest(store.default_worker, limit, TASKS)
        claimed = store.engine.write(getattr(store.engine, verb), request)
        return [claim.id for claim in (claimed.claims if isinstance(claimed, ClaimAtOnce) else claimed)]

    assert claim(10) == urgent[:10]
    store.engine.bounds._front_at = float("inf")  # type: ignore[attr-defined]
    newer = store.insert(priority=9)
    assert claim(10) == urgent[10:] + others[:5]
    found = claim(11)
    assert found[: len(others[5:])] == others[5:]
    assert newer in found + claim(1)


def test_after_a_slow_claim_what_nobody_knows_is_set_aside_before_the_next_look_at_the_front(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (claims, sqlite_jobs, postgres_jobs):
        monkeypatch.setattr(module, "MOST_HELD", 3)
    store.insert_many(10)
    request = ClaimRequest(store.default_worker, 10, TASKS)
    assert len(store.engine.write(store.engine.claim_jobs, request)) == 10
    store.engine.bounds._front_at = float("inf")  # type: ignore[attr-defined]
    store.insert_many(7, task="unknown")
    behind = store.insert()
    urgent = store.insert(priority=9)
    found = []
    for held in (3, 6, 7):
        found.append([claim.id for claim in store.engine.write(store.engine.claim_jobs, request)])
        assert store.count(state="held") == held
    assert found == [[behind], [], [urgent]]


@pytest.fixture
def quick_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is: after a slow claim the next one would look behind it, and nowhere else."""
    monkeypatch.setattr(bounds, "monotonic", lambda: 0.0)


def at_once(store: Store, limit: int, **options: Any) -> list[Claim]:
    request = ClaimRequest(store.default_worker, limit, TASKS, **options)
    return store.engine.write(store.engine.claim_jobs_at_once, request).claims


def test_a_worker_that_waits_claims_at_once(store: Store) -> None:
    assert at_once(store, 10) == []
    jobs = store.insert_many(3)
    urgent = store.insert(priority=5)
    later = store.insert(delay=SECOND)
    claims = at_once(store, 10)
    assert [claim.id for claim in claims] == [urgent, *jobs]
    assert {(claim.fence, claim.attempt) for claim in claims} == {(1, 1)}
    assert store.state(later) == "scheduled"
    assert at_once(store, 10) == []


def test_at_once_the_queues_share_the_limit_behind_the_one_served_last(store: Store) -> None:
    for queue in "abc":
        store.insert_many(5, queue=queue)
    assert [claim.queue for claim in at_once(store, 4, after="a")] == ["b", "b", "c", "c"]
    assert {claim.queue for claim in at_once(store, 6, queues=("a", "c"))} == {"a", "c"}
    assert len(at_once(store, 100)) == 15 - 4 - 6


@pytest.mark.usefixtures("quick_claims")
@pytest.mark.parametrize("queues", [1, 3, 40])
@pytest.mark.parametrize("limit", [1, 7, 16, 100])
def test_at_once_is_never_more_than_asked_for_and_comes_to_an_end(store: Store, queues: int, limit: int) -> None:
    for number in range(queues):
        store.insert_many(2, queue=f"q{number}")
    request, left = ClaimRequest(store.default_worker, limit, TASKS), 2 * queues
    while left:
        claims, is_partial = store.engine.write(store.engine.claim_jobs_at_once, request)
        if not claims:  # behind what a slow claim gave last, as on a machine with much other work
            assert is_partial
            claims = store.engine.write(store.engine.claim_jobs, request)
        assert 0 < len(claims) <= limit
        left -= len(claims)
    assert at_once(store, limit) == []


@pytest.mark.usefixtures("quick_claims")
def test_at_once_it_is_said_whether_queues_that_have_run_empty_may_hide_others(store: Store) -> None:
    """After a slow claim the next looks behind it, where nothing may be left: its worker then waited for a poll."""
    store.insert_many(10, queue="a")
    assert len(at_once(store, 10)) == 10
    store.engine.bounds._front_at = float("inf")  # type: ignore[attr-defined]
    others = store.insert_many(10, queue="b")
    request = ClaimRequest(store.default_worker, 10, TASKS)
    found, is_partial = store.engine.write(store.engine.claim_jobs_at_once, request)
    if is_partial:
        found += store.engine.write(store.engine.claim_jobs, replace(request, limit=10 - len(found)))
    assert [claim.id for claim in found] == others
    assert store.engine.write(store.engine.claim_jobs_at_once, request) == ([], False)


def test_at_once_a_worker_that_is_dead_or_knows_no_task_gets_nothing(store: Store) -> None:
    store.insert_many(2, task="unknown")
    assert at_once(store, 10) == []
    assert store.count(state="ready") + store.count(state="held") == 2
    store.insert()
    store.engine.write(store.engine.retire_worker, store.default_worker)
    assert at_once(store, 10) == []


def test_a_frozen_store_gives_no_job_away(store: Store) -> None:
    """A worker that ran one here would run what runs again in the store to which it moves."""
    engine, worker = store.engine, store.default_worker
    job = store.insert()
    engine.write(engine.freeze_store, "token", "elsewhere", False, "is frozen")
    assert store.claim(10, worker=worker) == store.claim(1, worker=worker, job=job) == []
    engine.write(engine.thaw_store)
    assert store.claim_one(worker=worker).fence == 1


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_bytes_in_place_of_text_keep_nobody_from_claiming(store: Store) -> None:
    """A foreign writer can put anything into a file: one such row made every claim fail."""
    jobs = [store.insert(args=b'{"n":1}', tags=b'["a"]', metadata=b"{}"), store.insert()]
    claimed = store.claim(10)
    assert [claim.id for claim in claimed] == jobs
    assert (claimed[0].args, claimed[0].tags, claimed[0].metadata) == ('{"n":1}', '["a"]', "{}")
