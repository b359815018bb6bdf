"""What a worker says of what fails and is tried again."""

import logging

import pytest

from turnspit._runtime.outage import Outage
from turnspit.errors import EngineError, EngineUnavailable


@pytest.fixture
def outage(caplog: pytest.LogCaptureFixture) -> Outage:
    caplog.set_level(logging.WARNING, "turnspit")
    return Outage(lambda: 7)


def test_a_store_that_is_away_is_said_once_and_once_when_all_were_answered(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    outage.failed("claimer", EngineUnavailable("away"), 1)
    outage.failed("heartbeat", EngineUnavailable("away"), 1, what="could not renew its lease")
    outage.answered("claimer")
    [record] = caplog.records
    assert record.getMessage().startswith("worker 7 (claimer): away; running jobs go on")
    outage.answered("heartbeat")
    assert [each.getMessage()[:37] for each in caplog.records[1:]] == ["worker 7: the store answers again, af"]


@pytest.mark.parametrize(("error", "is_traced"), [(EngineError("refused"), False), (OSError("no such place"), True)])
def test_anything_else_is_warned_of_each_time_and_what_nobody_foresaw_with_its_traceback(
    outage: Outage, caplog: pytest.LogCaptureFixture, error: Exception, is_traced: bool
) -> None:
    outage.failed("claimer", error, 0.25)
    outage.failed("heartbeat", error, 2, what="could not renew its lease")
    assert [record.getMessage() for record in caplog.records] == [
        f"worker 7 (claimer): {error}; trying again in 0.2 s",
        f"worker 7 could not renew its lease: {error}; trying again in 2.0 s",
    ]
    assert [bool(record.exc_info) for record in caplog.records] == [is_traced] * 2
    outage.answered("claimer")
    assert len(caplog.records) == 2, "it was no outage"
