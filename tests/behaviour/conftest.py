"""Fixtures of the behaviour tests."""

import pytest

from tests.behaviour.support import EventLog
from turnspit import Turnspit
from turnspit._runtime.worker.lookout import Lookout


@pytest.fixture
def events(app: Turnspit) -> EventLog:
    """Every event of ``app``."""
    return EventLog(app)


@pytest.fixture
def wakes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers hear of work by wakes, or not before the test's deadline: nothing is found by asking again."""
    monkeypatch.setattr(Lookout, "_interval", lambda self: 600.0)
