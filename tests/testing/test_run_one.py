"""``run_one`` runs exactly one job, on the real path."""

import pytest

from turnspit import ConfigurationError, GiveUp, Job, JobNotFound, JobState, Retry, Snooze, TurnspitError
from turnspit.errors import MoveNotAllowed
from turnspit.testing import RanJob, TestStore


def test_only_this_job_runs(t: TestStore) -> None:
    ran = []

    @t.app.task
    async def note(name: str) -> str:
        ran.append(name)
        return name

    note.using(priority=100).enqueue(name="more urgent")
    job = note.enqueue(name="this one")
    answer = t.run_one(job)
    assert ran == ["this one"]
    assert isinstance(answer, Job)
    assert (answer.id, answer.state, answer.attempt, answer.error) == (job.id, "completed", 1, None)
    assert answer.get_result(timeout=0) == "this one"
    assert t.jobs.get(1).state == "ready"
    assert t.run_one(1).state == "completed"


def test_what_the_task_raised_is_there_and_not_raised(t: TestStore) -> None:
    class PaymentDeclined(Exception):
        pass

    @t.app.task(retry=Retry(attempts=2, delay=10))
    def charge(order_id: int) -> None:
        raise PaymentDeclined(f"order {order_id}")

    ran = t.run_one(charge.enqueue(order_id=7))
    assert isinstance(ran.error, PaymentDeclined)
    assert ran.failed
    assert ran.is_retrying
    assert [(each.outcome, each.error_type) for each in ran.attempts] == [("failed", "PaymentDeclined")]
    with pytest.raises(PaymentDeclined, match="order 7"):
        ran.raise_error()


def test_reraise_raises_it_after_it_was_stored(t: TestStore) -> None:
    @t.app.task
    async def charge() -> None:
        raise ZeroDivisionError("nothing to divide by")

    job = charge.enqueue()
    with pytest.raises(ZeroDivisionError, match="nothing to divide by") as raised:
        t.run_one(job, reraise=True)
    assert raised.traceback[-1].name == "charge"
    assert job.refresh().is_retrying


@pytest.mark.parametrize(
    ("error", "state", "is_raised"), [(Snooze(5), "scheduled", False), (GiveUp("no"), "dead", True)]
)
def test_reraise_leaves_a_snooze_alone(t: TestStore, error: Exception, state: str, is_raised: bool) -> None:
    @t.app.task
    async def end() -> None:
        raise error

    job = end.enqueue()
    if is_raised:
        with pytest.raises(type(error)):
            t.run_one(job, reraise=True)
    else:
        assert t.run_one(job, reraise=True).error is error
    assert job.refresh().state == state


def test_a_scheduled_job_is_refused_with_the_way_to_run_it(t: TestStore) -> None:
    @t.app.task
    async def later() -> None: ...

    job = later.using(delay=90).enqueue()
    with pytest.raises(MoveNotAllowed) as refused:
        t.run_one(job)
    assert str(refused.value) == (
        f"job 1 (later) is scheduled for {job.run_at}, 90 s after this store's now: "
        "advance(90) makes it ready, and so does jobs.run_now(1)"
    )
    t.advance(90)
    assert t.run_one(job).state == "completed"


def test_a_job_that_became_due_needs_no_promotion(t: TestStore) -> None:
    @t.app.task
    async def later() -> None: ...

    job = later.using(delay=90).enqueue()
    t.clock.advance(90)
    assert t.run_one(job).state == "completed"


def test_a_final_job_is_refused_until_it_is_replayed(t: TestStore) -> None:
    @t.app.task
    async def once() -> None: ...

    job = once.enqueue()
    t.run_one(job)
    with pytest.raises(MoveNotAllowed, match=r"job 1 \(once\) is completed and cannot be run: jobs.replay\(1\)"):
        t.run_one(job)
    t.jobs.replay(1)
    assert t.run_one(1).state == "completed"


def test_a_running_job_is_refused(t: TestStore) -> None:
    errors: list[Exception] = []

    @t.app.task
    async def run_myself() -> None:
        try:
            await t.arun_one(1)
        except TurnspitError as error:
            errors.append(error)

    t.run_one(run_myself.enqueue())
    assert [str(error) for error in errors] == ["job 1 (run_myself) is running and cannot be run"]


def test_unknown_jobs_and_tasks(t: TestStore) -> None:
    with pytest.raises(JobNotFound, match="there is no job 99"):
        t.run_one(99)

    @t.app.task
    async def known() -> None: ...

    new = known.new()._replace(task="gone")
    t.app.engine.write(t.app.engine.insert_job, new)
    with pytest.raises(ConfigurationError, match="this app has no task 'gone'; it has known"):
        t.run_one(1)
    assert t.drain(recursive=True) == []


def test_a_payload_that_no_longer_fits(t: TestStore) -> None:
    @t.app.task
    async def pay(order_id: int) -> None: ...

    new = pay.new(order_id=7)._replace(args='{"order": 7}')
    t.app.engine.write(t.app.engine.insert_job, new)
    ran: RanJob[None] = t.run_one(1)
    assert ran.state == JobState.SCHEDULED
    assert ran.error_type == "InvalidPayload"
    assert "order_id: Field required" in str(ran.error)
