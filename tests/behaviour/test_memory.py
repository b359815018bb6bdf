"""What a failed attempt had in memory is given back at once, not when Python looks for circular garbage."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, wait_until
from turnspit import Batch, JobDead, Retry, Turnspit


class Picture:
    """Something large."""


@pytest.fixture
def no_search() -> Iterator[None]:
    """Python does not look for circular garbage."""
    gc.disable()
    yield
    gc.enable()


pictures: list[weakref.ref[Picture]] = []


def load() -> Picture:
    picture = Picture()
    pictures.append(weakref.ref(picture))
    return picture


async def coroutine(number: int) -> None:
    picture = load()
    raise ValueError(repr(picture))


def thread(number: int) -> None:
    picture = load()
    raise ValueError(repr(picture))


async def batch(items: Batch[int]) -> None:
    picture = load()
    raise ValueError(repr(picture))


def batch_in_a_thread(items: Batch[int]) -> None:
    picture = load()
    raise ValueError(repr(picture))


async def item(items: Batch[int]) -> None:
    item_in_a_thread(items)


def item_in_a_thread(items: Batch[int]) -> None:
    picture = load()
    try:
        raise ValueError(repr(picture))
    except ValueError as error:
        items[0].fail(error)


@pytest.mark.on_sqlite
@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize("function", [coroutine, thread, batch, batch_in_a_thread, item, item_in_a_thread])
def test_what_a_failed_attempt_had(app: Turnspit, function: Callable[..., Any]) -> None:
    pictures.clear()
    retry = Retry(attempts=1)
    is_plain = function in (coroutine, thread)
    task = app.task(retry=retry)(function) if is_plain else app.batch_task(size=1, retry=retry)(function)
    with app.worker(concurrency=1):
        for number in range(3):
            with pytest.raises(JobDead, match="ValueError"):
                task.enqueue(number).get_result(DEADLINE)
        wait_until(lambda: [ref() for ref in pictures[:2]] == [None, None], "the end of what the first two had")
