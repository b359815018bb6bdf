"""Numbers that no id can be, and texts that no store can keep: there is nothing of that name, on any engine."""

from collections.abc import Callable
from typing import Any

import pytest

from turnspit import Turnspit
from turnspit.errors import ConfigurationError, JobNotFound, ScheduleNotFound, WorkerNotFound, WorkflowNotFound

SURROGATE = "a\ud800b"


@pytest.fixture
def noop(app: Turnspit) -> Any:
    @app.task
    def noop() -> None: ...

    return noop


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40, -1])
def test_a_number_that_no_id_can_be_names_nothing(app: Turnspit, noop: Any, number: int) -> None:
    with app.workflow("flow") as flow:
        flow.add(noop.new())
    one: list[Callable[..., Any]] = [app.jobs.get, app.jobs.cancel, app.jobs.replay, app.jobs.delete, app.jobs.run_now]
    for verb in (*one, lambda job: app.jobs.update(job, priority=1)):
        with pytest.raises(JobNotFound, match=f"no job {number}"):
            verb(number)
    for verb in (app.workflows.get, app.workflows.cancel, app.workflows.replay, app.workflows.get_results):
        with pytest.raises(WorkflowNotFound, match=f"no workflow {number}"):
            verb(number)
    for ask in (app.workers.stop, app.workers.quiet):
        with pytest.raises(WorkerNotFound, match=f"id {number}"):
            ask(number)
    assert app.jobs.list(workflow=number) == []
    with pytest.raises(ConfigurationError, match="after= takes the id"):
        app.workflows.get(flow.id, after=number)
    with pytest.raises(ConfigurationError, match="limit is from 1 to 1000"):
        app.limits.full_keys(number)


def test_a_text_with_surrogates_names_nothing(app: Turnspit, noop: Any) -> None:
    """As of a command line's argument that is not UTF-8."""
    for field in ("queue", "task", "tag", "error", "fingerprint"):
        with pytest.raises(ConfigurationError, match=f"{field}= takes a text"):
            app.jobs.delete(**{field: SURROGATE})  # type: ignore[arg-type]
    schedules = app.schedules
    for verb in (schedules.get, schedules.pause, schedules.resume, schedules.remove, schedules.run_now):
        with pytest.raises(ScheduleNotFound):
            verb(SURROGATE)
    assert app.workflows.list(name=SURROGATE) == []
    assert app.jobs.dead_groups(task=SURROGATE) == []
    assert app.limits.reset(SURROGATE) is False


def test_a_reason_with_surrogates_is_kept_as_well_as_can_be(app: Turnspit, noop: Any) -> None:
    job = noop.enqueue()
    assert app.jobs.cancel(job.id, reason=f"{SURROGATE} é") == 1
    assert job.refresh().reason == "a\ufffd\ufffd\ufffdb é"
