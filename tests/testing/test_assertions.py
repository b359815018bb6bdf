"""``assert_enqueued`` finds what was enqueued, and says what was instead."""

from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from pydantic import BaseModel

from turnspit import ConfigurationError, InvalidArguments, Retry
from turnspit.testing import TestStore, override

KEY = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Address(BaseModel):
    city: str
    since: date


@pytest.fixture
def send(t: TestStore) -> Any:
    @t.app.task(queue="email", aliases=["post"])
    async def send(to: str, order_id: int, copies: int = 1) -> None: ...

    return send


@pytest.fixture
def rich(t: TestStore) -> Any:
    @t.app.task
    async def rich(key: UUID, size: Size, address: Address, queue: str = "") -> None: ...

    return rich


def test_it_returns_the_jobs_that_match(t: TestStore, send: Any) -> None:
    send.enqueue(to="ada@example.com", order_id=7)
    send.enqueue(to="ada@example.com", order_id=8)
    assert [job.id for job in t.assert_enqueued(send)] == [1, 2]
    assert [job.id for job in t.assert_enqueued(send, order_id=8)] == [2]
    assert [job.id for job in t.assert_enqueued("send", to="ada@example.com", times=2)] == [1, 2]


def test_a_job_that_ran_was_enqueued_all_the_same(t: TestStore, send: Any) -> None:
    send.enqueue(to="ada@example.com", order_id=7)
    t.drain()
    t.assert_enqueued(send, order_id=7, state="completed")
    with pytest.raises(AssertionError, match="state is completed, not 'ready'"):
        t.assert_enqueued(send, state="ready")
    with pytest.raises(AssertionError, match="expected no job of send, but one was enqueued"):
        t.assert_not_enqueued(send)


def test_values_as_the_function_sees_them_or_as_they_are_stored(t: TestStore, rich: Any) -> None:
    address = Address(city="London", since=date(1815, 12, 10))
    rich.enqueue(key=KEY, size=Size.LARGE, address=address)
    t.assert_enqueued(rich, key=KEY, size=Size.LARGE, address=address)
    t.assert_enqueued(rich, key=str(KEY), size="l", address={"city": "London", "since": "1815-12-10"})
    t.assert_enqueued(rich, key=ANY)
    t.assert_not_enqueued(rich, size=Size.SMALL)
    t.assert_not_enqueued(rich, key=UUID(int=0))


def test_a_default_counts_as_an_argument(t: TestStore, send: Any) -> None:
    send.enqueue(to="ada@example.com", order_id=7)
    t.assert_enqueued(send, copies=1)
    t.assert_not_enqueued(send, copies=2)


def test_args_takes_the_names_of_the_options(t: TestStore, rich: Any) -> None:
    rich.using(queue="real").enqueue(
        key=KEY, size=Size.LARGE, address=Address(city="London", since=date(1815, 12, 10)), queue="an argument"
    )
    t.assert_enqueued(rich, queue="real", args={"queue": "an argument"})
    t.assert_not_enqueued(rich, queue="an argument")


def test_options_of_the_job(t: TestStore, send: Any) -> None:
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    send.using(priority=3, tags=["vip"], delay=timedelta(minutes=1)).enqueue("ada@example.com", 1)
    send.using(at=moment).enqueue("ada@example.com", 2)
    t.assert_enqueued(send, times=1, priority=3, tag="vip", delay=60)
    t.assert_enqueued(send, times=1, delay=timedelta(minutes=1), order_id=1)
    t.assert_enqueued(send, times=1, at=moment, queue="email", order_id=2)
    for wrong in ({"priority": 4}, {"tag": "nobody"}, {"delay": 61}, {"at": t.now}, {"queue": "default"}):
        t.assert_not_enqueued(send, **wrong)
        with pytest.raises(AssertionError):
            t.assert_enqueued(send, **wrong)


def test_times(t: TestStore, send: Any) -> None:
    for order_id in range(3):
        send.enqueue("ada@example.com", order_id)
    t.assert_enqueued(send, times=3)
    t.assert_enqueued(send, times=0, order_id=9)
    with pytest.raises(AssertionError, match="expected one job of send, but 3 were enqueued"):
        t.assert_enqueued(send, times=1)
    with pytest.raises(AssertionError, match="expected 2 jobs of send with order_id=1, but one was enqueued"):
        t.assert_enqueued(send, times=2, order_id=1)


def test_the_message_lists_what_was_enqueued_instead_the_most_similar_first(t: TestStore, send: Any) -> None:
    @t.app.task
    async def make_invoice(order_id: int) -> None: ...

    make_invoice.enqueue(order_id=7)
    send.enqueue(to="bob@example.com", order_id=7)
    send.using(delay=60).enqueue(to="ada@example.com", order_id=7)
    with pytest.raises(AssertionError) as failed:
        t.assert_enqueued(send, to="ada@example.com", order_id=8)
    due, to = t.now + timedelta(minutes=1), "to is 'bob@example.com', not 'ada@example.com'"
    assert (
        str(failed.value)
        == f"""\
expected a job of send with to='ada@example.com', order_id=8, but none was enqueued.
Enqueued were:
  job 3: send(to='ada@example.com', order_id=7) in queue email, scheduled for {due}  <- order_id is 7, not 8
  job 2: send(to='bob@example.com', order_id=7) in queue email, ready  <- {to}; order_id is 7, not 8
  job 1: make_invoice(order_id=7) in queue default, ready"""
    )


def test_the_message_when_nothing_was_enqueued(t: TestStore, send: Any) -> None:
    with pytest.raises(AssertionError) as failed:
        t.assert_enqueued(send, queue="email")
    assert (
        str(failed.value) == "expected a job of send with queue 'email', but none was enqueued.\nNothing was enqueued."
    )


def test_the_message_stays_short(t: TestStore, send: Any) -> None:
    t.app.enqueue_many(send.new(to="x" * 500, order_id=number) for number in range(2000))
    with pytest.raises(AssertionError) as failed:
        t.assert_enqueued(send, order_id=-1)
    lines = str(failed.value).splitlines()
    assert len(lines) == 23
    assert lines[-1] == "  and 1980 more"
    assert max(map(len, lines)) < 300
    assert len(t.enqueued()) == 2000


def test_a_mistyped_name_does_not_pass_as_not_enqueued(t: TestStore, send: Any) -> None:
    with pytest.raises(InvalidArguments, match="task send has no argument ordr_id; it takes to, order_id, copies"):
        t.assert_not_enqueued(send, ordr_id=7)
    with pytest.raises(ConfigurationError, match="this app has no task 'snd'; it has post, send"):
        t.assert_not_enqueued("snd")
    with pytest.raises(ConfigurationError, match="no state is named 'redy'"):
        t.assert_not_enqueued(send, state="redy")
    with pytest.raises(ConfigurationError, match=r"is it decorated with @app\.task\?"):
        t.assert_not_enqueued(send.function)


def test_a_job_that_is_tried_again_is_retrying(t: TestStore, send: Any) -> None:
    @t.app.task(retry=Retry(attempts=2, base=60))
    def fail() -> None:
        raise ConnectionError

    failed = fail.enqueue()
    send.using(delay=60).enqueue("ada@example.com", 1)
    t.drain()
    assert [job.id for job in t.enqueued(state="retrying")] == [failed.id]
    t.assert_enqueued(fail, state="retrying")
    t.assert_enqueued(fail, state="scheduled")
    t.assert_not_enqueued(send, state="retrying")


def test_a_task_of_another_app_is_refused(t: TestStore, send: Any) -> None:
    with override(type(t.app)()) as other, pytest.raises(ConfigurationError, match="this app has no task 'send'"):
        other.assert_not_enqueued(send)


def test_enqueued_by_task(t: TestStore, send: Any, rich: Any) -> None:
    send.enqueue("ada@example.com", 1)
    rich.enqueue(key=KEY, size=Size.SMALL, address=Address(city="Rome", since=date(2000, 1, 1)))
    send.enqueue("ada@example.com", 2)
    assert [job.id for job in t.enqueued(send)] == [1, 3]
    assert [job.id for job in t.enqueued("rich")] == [2]
    assert [job.id for job in t.enqueued()] == [1, 2, 3]


def test_a_job_stored_under_an_alias_is_the_task_s(t: TestStore, send: Any) -> None:
    t.app.engine.write(t.app.engine.insert_job, send.new("ada@example.com", 1)._replace(task="post"))
    t.assert_enqueued(send, order_id=1)
    assert [job.id for job in t.enqueued(send)] == [1]


def test_a_payload_that_no_longer_fits_is_compared_as_it_is_stored(t: TestStore, send: Any) -> None:
    t.app.engine.write(t.app.engine.insert_job, send.new("ada@example.com", 1)._replace(args='{"order_id": "old"}'))
    t.assert_enqueued(send, order_id="old", copies=1)
    t.assert_not_enqueued(send, order_id=1)
