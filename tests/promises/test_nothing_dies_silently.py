"""6. A job out of attempts or with a payload that no longer validates stays visible, and can be replayed."""

import logging

import pytest

from tests.behaviour.support import change
from turnspit import GiveUp, JobDead, Retry, Turnspit


def test_nothing_dies_silently(app: Turnspit, caplog: pytest.LogCaptureFixture) -> None:
    """The reason and every attempt's error are kept, the log says so, and a replay makes it live again."""
    card_works = False

    @app.task(retry=Retry(attempts=3, delay=0))
    def pay(order: int) -> str:
        if not card_works:
            raise ConnectionError(f"card of order {order} declined")
        return "paid"

    with caplog.at_level(logging.ERROR, "turnspit"), app.worker():
        job = pay.enqueue(7)
        with pytest.raises(JobDead, match=r"is dead: ConnectionError: card of order 7 declined"):
            job.get_result(timeout=10)
        assert (job.state, job.reason, job.error_type) == ("dead", "card of order 7 declined", "ConnectionError")
        assert [attempt.outcome for attempt in job.attempts] == ["failed", "failed", "dead"]
        assert all("card of order 7 declined" in str(attempt.error_message) for attempt in job.attempts)
        assert all("in pay" in str(attempt.traceback) for attempt in job.attempts)
        assert [found.id for found in app.jobs.list(state="dead")] == [job.id]
        [group] = app.jobs.dead_groups()
        assert (group.task, group.error_type, group.count) == ("pay", "ConnectionError", 1)
        card_works = True
        assert app.jobs.replay(fingerprint=group.fingerprint) == 1
        assert job.get_result(timeout=10) == "paid"
        assert len(job.refresh().attempts) == 4
    assert f"job {job.id} (pay) is dead" in caplog.text


def test_giving_up_is_kept_too(app: Turnspit) -> None:
    @app.task
    def pay() -> None:
        raise GiveUp("no such account")

    with app.worker():
        job = pay.enqueue()
        with pytest.raises(JobDead, match="no such account"):
            job.get_result(timeout=10)


def test_a_payload_that_no_longer_validates_is_kept_with_its_reason(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That job alone; its neighbours run."""
    monkeypatch.setattr("turnspit._runtime.worker.endings._INVALID_PATIENCE", 0)

    @app.task
    def pay(order: int) -> int:
        return order

    with app.worker():
        broken, well = pay.enqueue(1), pay.using(delay=0.3).enqueue(2)
        broken.get_result(timeout=10)
        change(app, f"""UPDATE {{history}} SET args = '{{{{"order": "seven"}}}}' WHERE id = {broken.id}""")
        app.jobs.replay(broken.id, state="completed")
        with pytest.raises(JobDead, match=r"is dead: InvalidPayload: .*order"):
            broken.get_result(timeout=10)
        assert broken.args == {"order": "seven"}
        assert well.get_result(timeout=10) == 2
