"""A job that the store refuses to move keeps back no other that is due."""

import logging
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import Turnspit
from turnspit._runtime.maintenance.rescuer import Rescuer
from turnspit.contract.verbs import Verb
from turnspit.errors import EngineError
from turnspit.events import EventBus
from turnspit.records import JobRecord, RescueReport


@pytest.mark.parametrize("verb", ["promote_jobs", "tend_workflows"])
def test_a_worker_goes_around_what_the_store_refuses(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    """The engines find it by halves: tests/contract/test_refused_rows.py."""
    original = getattr(app.engine, verb)

    def refusing(limit: int, refused: dict[str, str] | None = None) -> Verb[Any]:
        answer = yield from original(limit)
        if refused is None:
            raise EngineError("not this one")
        refused["job 99"] = "not this one"
        return answer

    @app.task
    async def greet() -> str:
        return "hello"

    monkeypatch.setattr(app.engine, verb, refusing)
    with caplog.at_level(logging.ERROR, "turnspit"), app.worker():
        assert greet.using(delay=0.01).enqueue().get_result(DEADLINE) == "hello"
        if verb == "tend_workflows":
            with app.workflow("late", deadline=0.01) as flow:
                flow.add(greet.using(delay=3600).new())
            assert app.workflows.wait_ended(flow.id, DEADLINE).cancelled == 1
    assert caplog.text.count(f"the store refuses to {verb.partition('_')[0]} job 99: not this one; others go on") == 1


def test_whose_process_was_seen_to_end_is_declared_dead_whatever_of_it_is_refused(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refusing(worker: int, max_crashes: int, refused: dict[str, str] | None = None) -> Verb[RescueReport]:
        answer = yield from original(worker, max_crashes)
        if refused is None:
            raise EngineError("not this one")
        refused["job 99"] = "not this one"
        return answer

    async def on_dead(_: JobRecord) -> None: ...

    original = app.engine.declare_dead
    monkeypatch.setattr(app.engine, "declare_dead", refusing)
    rescuer = Rescuer(
        app.engine,
        worker=lambda: 1,
        may_rescue=lambda: True,
        interval=1.0,
        max_crashes=3,
        bus=EventBus(),
        on_dead=on_dead,
    )
    assert rescuer.declare_dead(7) == RescueReport((), (), (), ())
    assert "the store refuses to rescue job 99: not this one; others go on" in caplog.text
