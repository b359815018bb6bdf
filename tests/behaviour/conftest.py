"""Fixtures of the behaviour tests."""

import pytest

from tests.behaviour.support import EventLog
from turnspit import Turnspit


@pytest.fixture
def events(app: Turnspit) -> EventLog:
    """Every event of ``app``."""
    return EventLog(app)
