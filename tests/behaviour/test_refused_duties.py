"""A job that the store refuses to move keeps back no other that is due."""

import logging
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import Turnspit
from turnspit.contract.verbs import Verb
from turnspit.errors import EngineError


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
