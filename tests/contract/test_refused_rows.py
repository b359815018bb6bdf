"""Rows that the store refuses to change, by a trigger of somebody, hold up no other; new ones left out are told of."""

import json
from typing import Any

import pytest

from tests.contract.store import SECOND, Store
from tests.contract.workflows import Flow, node
from turnspit.contract import Engine
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.verbs import ends
from turnspit.errors import EngineError, EngineUnavailable
from turnspit.jobs import JobFilter
from turnspit.records import Completion, NewJob, NewSchedule, UniqueRule
from turnspit.schedules import Every

BAD = 5
"""The priority of jobs that cannot be changed."""
WHY = "not this one"
CHANGES = ("UPDATE", "DELETE")


def run(engine: Engine, statements: list[str]) -> None:
    def execute() -> Verb[None]:
        for sql in statements:
            yield Statement(sql, {})

    engine.write(execute)


def schema_of(engine: Engine) -> str | None:
    """``None`` on SQLite."""
    schema: str | None = getattr(getattr(engine, "settings", None), "schema", None)
    return schema


def refuse(engine: Engine) -> None:
    """Add a trigger that refuses to change bad jobs."""
    schema = schema_of(engine)
    if schema is None:
        when = f"WHEN old.priority = {BAD} BEGIN SELECT RAISE(ABORT, '{WHY}'); END"
        statements = [f"CREATE TRIGGER own_{event} BEFORE {event} ON turnspit_jobs {when}" for event in CHANGES]
    else:
        body = f"$$ BEGIN RAISE EXCEPTION '{WHY}'; END $$"
        each = f"FOR EACH ROW WHEN (old.priority = {BAD}) EXECUTE FUNCTION {schema}.own()"
        statements = [
            f"CREATE FUNCTION {schema}.own() RETURNS trigger LANGUAGE plpgsql AS {body}",
            f"CREATE TRIGGER own BEFORE {' OR '.join(CHANGES)} ON {schema}.jobs {each}",
        ]
    run(engine, statements)


def leave_out(engine: Engine) -> None:
    """Add a trigger that leaves bad jobs out, without an error."""
    schema = schema_of(engine)
    if schema is None:
        when = f"WHEN new.priority = {BAD} BEGIN SELECT RAISE(IGNORE); END"
        run(engine, [f"CREATE TRIGGER own BEFORE INSERT ON turnspit_jobs {when}"])
        return
    each = f"FOR EACH ROW WHEN (new.priority = {BAD}) EXECUTE FUNCTION {schema}.own()"
    body = "$$ BEGIN RETURN NULL; END $$"
    function = f"CREATE FUNCTION {schema}.own() RETURNS trigger LANGUAGE plpgsql AS {body}"
    run(engine, [function, f"CREATE TRIGGER own BEFORE INSERT ON {schema}.jobs {each}"])


def around(engine: Engine, verb: Any, *arguments: Any) -> tuple[Any, list[str]]:
    """What a verb answers that goes around what is refused; and what that was."""
    with pytest.raises(EngineError, match=WHY):
        engine.write(verb, *arguments)
    refused: dict[str, str] = {}
    answer = engine.write(verb, *arguments, refused=refused)
    assert all(WHY in why for why in refused.values())
    return answer, sorted(refused)


def test_a_due_job_that_cannot_become_ready(store: Store, engine: Engine) -> None:
    bad, *others = [store.insert(delay=SECOND, priority=priority) for priority in (BAD, *range(4), *range(4))]
    refuse(engine)
    store.clock.advance(1)
    assert around(engine, engine.promote_jobs, 100) == ((8, 0), [f"job {bad}"])
    assert {store.state(job) for job in others} == {"ready"}
    assert store.state(bad) == "scheduled"
    assert engine.write(engine.promote_jobs, 100, refused={}) == (0, 0), "it is tried again"


def test_an_expired_job_that_cannot_be_cancelled(store: Store, engine: Engine) -> None:
    bad, *others = [store.insert(expires_in=SECOND, priority=priority) for priority in (BAD, 1, 2)]
    refuse(engine)
    store.clock.advance(1)
    assert around(engine, engine.promote_jobs, 100)[1] == [f"job {bad}"]
    assert {store.state(job) for job in others} == {"cancelled"}
    assert store.state(bad) == "ready"


def test_a_job_of_a_dead_worker_that_cannot_be_returned(store: Store, engine: Engine) -> None:
    dies, rescuer = store.worker(), store.worker()
    bad, *others = [store.insert(priority=priority) for priority in (BAD, 1, 2)]
    store.claim(3, worker=dies)
    refuse(engine)
    store.outlive(rescuer)
    report, refused = around(engine, engine.rescue_jobs, rescuer, 3)
    assert refused == [f"job {bad}"]
    assert (report.workers, sorted(report.returned)) == ((dies,), others)
    assert sorted(job for job, _ in report.crashed) == others
    assert {store.state(job) for job in others} == {"ready"}
    assert store.state(bad) == "running"


def test_a_job_of_a_worker_seen_to_die_that_cannot_be_returned(store: Store, engine: Engine) -> None:
    dies = store.worker()
    bad, other = [store.insert(priority=priority) for priority in (BAD, 1)]
    store.claim(2, worker=dies)
    refuse(engine)
    report, refused = around(engine, engine.declare_dead, dies, 3)
    assert (report.workers, report.returned, refused) == ((dies,), (other,), [f"job {bad}"])
    assert [store.state(job) for job in (bad, other)] == ["running", "ready"]


def test_an_end_of_an_ended_worker_that_cannot_be_followed(store: Store, engine: Engine) -> None:
    """What a task had finished in its own transaction."""
    dies = store.worker()
    bad, good = (Flow(store, node(), node(-1, priority=priority)) for priority in (BAD, 1))
    for flow in (bad, good):
        claim = store.claim_one(job=flow.jobs[0], worker=dies)
        engine.write(engine.finish_job, Completion(claim.id, claim.fence, "null", None))
    refuse(engine)
    _, refused = around(engine, engine.declare_dead, dies, 3)
    assert refused == [f"the end of job {bad.jobs[0]}"]
    assert (bad.states(), good.states()) == ("cb", "cr")


def test_a_held_job_that_cannot_become_ready(store: Store, engine: Engine) -> None:
    bad, *others = [store.insert(task="new", priority=priority) for priority in (BAD, 1, 2)]
    assert store.claim(3) == []
    assert {store.state(job) for job in (bad, *others)} == {"held"}
    refuse(engine)
    assert store.claim(1, worker=store.worker(["new"]), tasks=["new"]) == [], "it is registered, and admits none yet"
    assert around(engine, engine.admit_jobs, ["new"], 100) == (2, [f"job {bad}"])
    assert {store.state(job) for job in others} == {"ready"}


def test_a_job_of_a_pause_that_has_ended_which_cannot_become_ready(store: Store, engine: Engine) -> None:
    bad, *others = [store.insert(priority=priority) for priority in (BAD, 1, 2)]
    engine.write(engine.pause, "task", "send")
    assert store.claim(3) == []
    refuse(engine)
    assert engine.write(engine.resume, "task", "send"), "the pause has ended all the same"
    assert around(engine, engine.admit_jobs, ["send"], 100) == (2, [f"job {bad}"])
    assert sorted(claim.id for claim in store.claim(3)) == others


def test_a_late_workflow_whose_job_cannot_be_cancelled(store: Store, engine: Engine) -> None:
    bad, good = (Flow(store, node(priority=priority), deadline=SECOND) for priority in (BAD, 1))
    refuse(engine)
    store.clock.advance(2)
    assert around(engine, engine.tend_workflows, 100)[1] == [f"workflow {bad.id}"]
    assert (bad.states(), good.states()) == ("r", "X")


def test_an_end_that_cannot_be_followed(store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = (Flow(store, node(), node(-1, priority=priority)) for priority in (BAD, 1))
    with monkeypatch.context() as patch:
        patch.setattr(ends, "_MOST_DEPENDANTS", 0)  # what follows is left to later
        bad.run(0)
        good.run(0)
    refuse(engine)
    (done, until_next), refused = around(engine, engine.tend_workflows, 100)
    assert (done, until_next, refused) == (1, 0, [f"the end of job {bad.jobs[0]}"])
    assert (bad.states(), good.states()) == ("cb", "cr")
    assert around(engine, engine.tend_workflows, 100) == ((0, 0), refused), "it is tried again"


PLAIN: NewJob[Any] = NewJob("send", "default", "{}", BAD)
UNIQUE = PLAIN._replace(unique_key="k", unique_rule=UniqueRule("ready"))


@pytest.mark.parametrize(
    ("verb", "new"),
    [
        ("insert_job", PLAIN),
        ("insert_job", PLAIN._replace(delay=SECOND)),
        ("insert_job", UNIQUE),
        ("insert_jobs", [UNIQUE]),
        ("extend_workflow", [node(priority=BAD)]),
    ],
)
def test_a_new_job_that_is_left_out(store: Store, engine: Engine, verb: str, new: Any) -> None:
    flow = Flow(store, node())
    leave_out(engine)
    arguments = (flow.id, new) if verb == "extend_workflow" else (new,)
    with pytest.raises(EngineError, match=r"nothing was enqueued.*of send.*trigger.*RAISE") as raised:
        engine.write(getattr(engine, verb), *arguments)
    assert not isinstance(raised.value, EngineUnavailable), "it is certain"
    assert len(engine.read(engine.list_jobs, JobFilter(), 10, None)) == 1
    store.insert()


def test_a_tick_whose_job_is_left_out_is_tried_again(store: Store, engine: Engine) -> None:
    new = NewSchedule("send", "send", Every(minutes=1).dump(), json.dumps(PLAIN._asdict()), "one", "allow")
    engine.write(engine.insert_schedule, "app", new)
    leave_out(engine)
    store.clock.advance(60)
    for verb, *arguments in ((engine.run_schedule, "app", "send"), (engine.fire_schedules, {"send"}, 10)):
        with pytest.raises(EngineError, match="nothing was enqueued"):
            engine.write(verb, *arguments)
    run(engine, [f"DROP TRIGGER own{'' if schema_of(engine) is None else f' ON {schema_of(engine)}.jobs'}"])
    assert engine.write(engine.fire_schedules, {"send"}, 10)[0] == 1
