"""Iterations that can be interrupted, and continued in another process."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from turnspit.codec import decode, encode
from turnspit.errors import ConfigurationError
from turnspit.outcomes import Snooze

__all__ = ["IteratingJob", "Iteration"]

T = TypeVar("T")


class IteratingJob(Protocol):
    """The job that iterates: it keeps how far it is, and knows when to stop."""

    @property
    def should_yield(self) -> bool:
        """Whether it should give way between two items."""
        ...

    def raise_if_cancelled(self) -> None:
        """Raise if it was told to stop."""
        ...

    def cursor_of(self, name: str) -> tuple[Any, bool]:
        """The key of the last item that was done, and whether there are no more."""
        ...

    def move_cursor(self, name: str, key: Any, *, is_complete: bool) -> None:
        """The item with this key is done."""
        ...


class Iteration(Generic[T]):
    """What ``job.iterate`` returns: for ``for`` and ``async for``, once."""

    def __init__(self, job: IteratingJob, source: Any, key: Callable[[T], Any], name: str) -> None:
        self._job = job
        self._source = source
        self._key = key
        self._name = name

    def __iter__(self) -> Iterator[T]:
        after, is_complete = self._job.cursor_of(self._name)
        if is_complete:
            return
        items = self._items(after)
        if isinstance(items, AsyncIterable):
            raise ConfigurationError("job.iterate: its source is an async iterable: use async for")
        for item in items:
            yield item
            after = self._done(item)
        self._job.move_cursor(self._name, after, is_complete=True)

    async def __aiter__(self) -> AsyncIterator[T]:
        after, is_complete = self._job.cursor_of(self._name)
        if is_complete:
            return
        items = self._items(after)
        if isinstance(items, AsyncIterable):
            async for item in items:
                yield item
                after = self._done(item)
        else:
            for item in items:
                yield item
                after = self._done(item)
        self._job.move_cursor(self._name, after, is_complete=True)

    def _items(self, after: Any) -> Iterable[T] | AsyncIterable[T]:
        if callable(self._source):
            found: Iterable[T] | AsyncIterable[T] = self._source(after)
            return found
        return self._source if after is None else self._items_after(self._source, after)

    def _items_after(self, items: Iterable[T], after: Any) -> Iterator[T]:
        """The items after the one with this key. The key was stored as JSON: a tuple became a list, a date a text.

        :raises ConfigurationError: if no item has the key. Any other place would leave out items or repeat them.
        """
        iterator = iter(items)
        for item in iterator:
            key = self._key(item)
            if key == after or decode(encode(key, what=f"keys of {self._name}")) == after:
                yield from iterator
                return
        raise ConfigurationError(
            f"job.iterate: none of the {self._name} has the key {after!r}, behind which this attempt was to go on: "
            "give it an iterable that always begins with the same items, or a function that takes the last key"
        )

    def _done(self, item: T) -> Any:
        """Keep that an item is done, and stop between two items if the worker or a person asks for it; the item's key.

        :raises Snooze: if the worker stops; the attempt costs nothing.
        """
        key = self._key(item)
        self._job.move_cursor(self._name, key, is_complete=False)
        self._job.raise_if_cancelled()
        if self._job.should_yield:
            raise Snooze(0)
        return key
