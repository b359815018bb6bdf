"""Large iterables, a list of some items at a time."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from turnspit.errors import ConfigurationError

__all__ = ["achunks", "aeach", "chunks"]

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of ``size``; the last one may be shorter. Each is made when it is asked for.

    :raises ConfigurationError: if ``size`` is not a whole number of at least 1.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    _check_size(size)
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


async def achunks(items: Iterable[T] | AsyncIterable[T], size: int) -> AsyncIterator[list[T]]:
    """``chunks`` for async code; also of an async iterable."""
    if not isinstance(items, AsyncIterable):
        for part in chunks(items, size):
            yield part
        return
    _check_size(size)
    gathered: list[T] = []
    async for item in items:
        gathered.append(item)
        if len(gathered) == size:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


async def aeach(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of an iterable or of an async iterable."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _check_size(size: int) -> None:
    if not isinstance(size, int) or size < 1:
        raise ConfigurationError(f"chunk is a whole number of at least 1, not {size!r}")
