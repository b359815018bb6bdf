"""Who wants to see jobs on their way to the store: traces and metrics. Where nobody does, it costs an ``if``."""

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

from turnspit.records import NewJob

__all__ = ["Sender", "Sending", "Sendings"]


class Sending(Protocol):
    """Jobs that are being stored together."""

    jobs: Sequence[NewJob[Any]]
    """What is stored: the jobs that were given, perhaps with more metadata."""

    def end(self, ids: Sequence[int], error: BaseException | None) -> None:
        """They were stored, under these ids; or they were not, because of this error."""
        ...


class Sender(Protocol):
    """Called with new jobs before they are stored."""

    def __call__(self, jobs: Sequence[NewJob[Any]]) -> Sending:
        """Begin."""
        ...


class Sendings:
    """One call that stores jobs, as its senders see it: portions that begin, and end in the same order."""

    def __init__(self, senders: Sequence[Sender]) -> None:
        self._senders = senders
        self._begun: deque[list[Sending]] = deque()

    def begin(self, jobs: Sequence[NewJob[Any]]) -> Sequence[NewJob[Any]]:
        """A portion is about to be stored; as what."""
        if self._senders:
            begun: list[Sending] = []
            for sender in self._senders:
                begun.append(sender(jobs))
                jobs = begun[-1].jobs
            self._begun.append(begun)
        return jobs

    def stored(self, ids: Sequence[int]) -> None:
        """The first portion that has not ended is stored."""
        if self._senders:
            _end(self._begun.popleft(), ids, None)

    def __enter__(self) -> "Sendings":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._begun:
            _end(self._begun.popleft(), (), error)


def _end(begun: list[Sending], ids: Sequence[int], error: BaseException | None) -> None:
    for sending in reversed(begun):
        sending.end(ids, error)
