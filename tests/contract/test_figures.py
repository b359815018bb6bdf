"""What screens show: it is right, and it says where it is not all."""

from tests.contract.store import SECOND, Store
from turnspit.jobs import JobFilter
from turnspit.records import CounterRecord, ErrorRecord, MatchCount, QueueCounts

MINUTE = 60 * SECOND


def counted(store: Store, most: int = 100) -> tuple[dict[str, QueueCounts], frozenset[str]]:
    counts = store.engine.read(store.engine.count_queues, most)
    return {each.queue: each for each in counts.queues}, counts.uncounted


def found(store: Store, limit: int = 100, before: int | None = None, depth: int = 1000, **fields: object) -> object:
    """Ids, where to go on, and whether it was looked far enough."""
    jobs = store.engine.read(store.engine.search_jobs, JobFilter(**fields), limit, before, depth)
    return [record.id for record in jobs.records], jobs.before, jobs.is_partial


def matches(store: Store, most: int = 100, depth: int = 1000, **fields: object) -> MatchCount:
    return store.engine.read(store.engine.count_matches, JobFilter(**fields), most, depth)


def test_queues_are_counted_by_state(store: Store) -> None:
    began = store.clock.moment
    store.kill()
    store.end(store.claim_one(job=store.insert()), delay=60)
    store.insert(delay=60 * SECOND)
    store.claim_one(job=store.insert())
    store.insert_many(3, queue="mail")
    store.clock.advance(60)
    store.insert(queue="mail")
    queues, uncounted = counted(store)
    assert list(queues) == ["default", "mail"]
    assert queues["default"] == QueueCounts("default", scheduled=1, retrying=1, running=1, dead=1)
    assert queues["mail"] == QueueCounts("mail", ready=4, oldest_ready_at=began)
    assert uncounted == frozenset()


def test_counting_ends_at_the_most_and_says_so(store: Store) -> None:
    store.insert_many(5)
    for _ in range(4):
        store.kill()
    queues, uncounted = counted(store, most=3)
    assert (queues["default"].ready, queues["default"].dead) == (3, 4)
    assert uncounted == {"dead"}
    assert counted(store, most=4)[1] == frozenset()


def test_counters_come_in_slots(store: Store) -> None:
    store.clock.moment = 28_333_320 * MINUTE  # a multiple of five minutes
    for _ in range(7):
        job = store.insert(queue="mail")
        claim = store.claim_one(job=job)
        store.clock.advance(60)
        store.complete(claim)
    store.kill()
    assert store.engine.read(store.engine.list_counters, 60, 5) == [
        CounterRecord(28_333_320, "mail", "send", "completed", 4, 4 * MINUTE),
        CounterRecord(28_333_325, "default", "send", "dead", 1, 0),
        CounterRecord(28_333_325, "mail", "send", "completed", 3, 3 * MINUTE),
    ]
    assert sum(each.count for each in store.engine.read(store.engine.list_counters, 2, 1)) == 3


def test_a_sample_has_some_of_each_slot(store: Store) -> None:
    store.clock.moment = 28_333_320 * MINUTE
    for minute in range(3):
        for number in range(4):
            job = store.insert(queue="mail" if number % 2 else "default")
            store.clock.advance(2)
            claim = store.claim_one(job=job)
            store.clock.advance(3)
            store.complete(claim)
        store.clock.advance(40 if minute < 2 else 0)
    sample = store.engine.read(store.engine.sample_runs, 2, MINUTE, 3, None, None)
    assert [each.at // MINUTE - 28_333_320 for each in sample] == [1, 1, 1, 2, 2, 2]
    assert {(each.wait, each.run) for each in sample} == {(2 * SECOND, 3 * SECOND)}
    mail = store.engine.read(store.engine.sample_runs, 2, MINUTE, 3, "mail", "send")
    assert [each.queue for each in mail] == ["mail", "mail"]
    assert store.engine.read(store.engine.sample_runs, 2, MINUTE, 3, None, "print") == []


def test_a_search_finds_live_and_final_jobs(store: Store) -> None:
    jobs = store.insert_many(6)
    store.complete(*store.claim(2))
    store.cancel(jobs[5])
    assert found(store) == (jobs[::-1], None, False)
    assert found(store, limit=4) == (jobs[:1:-1], jobs[2], False)
    assert found(store, limit=4, before=jobs[2]) == (jobs[1::-1], None, False)
    assert found(store, task="send", queue="default") == (jobs[::-1], None, False)
    assert found(store, state="ready") == (jobs[4:1:-1], None, False)
    assert found(store, state="completed") == (jobs[1::-1], None, False)
    assert found(store, state="cancelled", task="send") == ([jobs[5]], None, False)
    assert found(store, id=jobs[0]) == ([jobs[0]], None, False)


def test_a_search_that_was_not_deep_enough_says_where_to_go_on(store: Store) -> None:
    jobs = [store.insert(queue="rare" if number % 4 == 0 else "common") for number in range(12)]
    rare = [jobs[8], jobs[4], jobs[0]]
    assert found(store, queue="rare", depth=6) == ([jobs[8]], jobs[6], True)
    assert found(store, queue="rare", depth=6, before=jobs[6]) == ([jobs[4], jobs[0]], jobs[0], True)
    assert found(store, queue="rare", depth=6, before=jobs[0]) == ([], None, False)
    assert found(store, queue="rare") == (rare, None, False)


def test_a_search_passes_over_no_live_job_for_the_sake_of_history(store: Store) -> None:
    jobs = store.insert_many(8, task="print")
    store.complete(store.claim_one(job=jobs[1]))
    assert found(store, task="print", depth=3) == (jobs[:4:-1], jobs[5], True)
    assert found(store, task="print", depth=3, before=jobs[2]) == ([jobs[1], jobs[0]], None, False)


def test_few_jobs_of_a_state_are_found_however_old(store: Store) -> None:
    late = store.insert(delay=60 * SECOND)
    store.insert_many(10)
    assert found(store, state="scheduled", depth=3) == ([late], None, False)
    assert found(store, state="scheduled", queue="default", depth=3) == ([late], None, False)


def test_matches_are_counted_up_to_the_most(store: Store) -> None:
    store.insert_many(5)
    assert matches(store, state="ready") == MatchCount(5, True)
    assert matches(store, state="ready", most=4) == MatchCount(4, False)
    assert matches(store, task="send", most=5) == MatchCount(5, True)
    assert matches(store, task="send", depth=3) == MatchCount(3, False)
    store.complete(*store.claim(2))
    assert matches(store, task="send") == MatchCount(5, True)
    assert matches(store, state="completed") == MatchCount(2, True)


def test_jobs_that_retry_are_found_among_the_scheduled_ones(store: Store) -> None:
    waiting, failed = store.insert(delay=60 * SECOND), store.insert()
    store.end(store.claim_one(job=failed), delay=60)
    assert store.ids(state="scheduled") == [failed, waiting]
    assert store.ids(state="scheduled", is_retrying=True) == [failed]
    assert matches(store, state="scheduled", is_retrying=True) == MatchCount(1, True)


def test_dead_letters_are_grouped_newest_first(store: Store) -> None:
    first = store.clock.moment
    for number in range(3):
        store.kill(error=ErrorRecord("ValueError", f"order {number}", None, "many"))
        store.clock.advance(1)
    job = store.insert("print", args='{"copies":2}', metadata='{"tenant":"x"}')
    one = store.kill(job, error=ErrorRecord("KeyError", "'x'", None, "one"))
    recent = store.engine.read(store.engine.group_recent_dead, 100, 1000)
    assert recent.is_complete
    assert [(group.fingerprint, group.task, group.count) for group in recent.groups] == [
        ("one", "print", 1),
        ("many", "send", 3),
    ]
    assert recent.groups[0].newest_id == one
    assert (recent.groups[0].args, recent.groups[0].metadata) == ('{"copies":2}', '{"tenant":"x"}')
    assert (recent.groups[1].message, recent.groups[1].first_at) == ("order 2", first)
    shallow = store.engine.read(store.engine.group_recent_dead, 2, 1000)
    assert ([group.count for group in shallow.groups], shallow.is_complete) == ([1, 1], False)


def test_a_preview_has_the_beginning_of_what_may_be_long(store: Store) -> None:
    done = store.insert(args='["for long"]', metadata='{"tenant":"x"}')
    store.complete(store.claim_one(job=done), result='"much"', keep=MINUTE)
    dead = store.kill(store.insert(args='["for long"]'))
    engine = store.engine
    cut = {record.id: record for record in engine.read(engine.search_jobs, JobFilter(), 10, None, 100, 4).records}
    assert {(record.args, record.result) for record in cut.values()} == {('["fo', None)}
    assert not cut[dead].attempts
    assert (cut[done].metadata, cut[dead].metadata) == ('{"te', None)
    [whole] = engine.read(engine.search_jobs, JobFilter(id=done), 10, None, 100).records
    assert (whole.args, whole.metadata, whole.result) == ('["for long"]', '{"tenant":"x"}', '"much"')
    assert [group.args for group in engine.read(engine.group_recent_dead, 10, 4).groups] == ['["fo']
