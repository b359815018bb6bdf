"""What sees new jobs before they are stored: traces, metrics, and the metadata that an app adds.

Where there is nothing of this kind, a call pays for one ``if``.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

from turnspit.codec import decode_object, encode
from turnspit.errors import ConfigurationError
from turnspit.records import NewJob

__all__ = ["AddedMetadata", "MetadataFunction", "Sender", "Sending", "Sendings", "UnwatchedSending"]

logger = logging.getLogger("turnspit")

MetadataFunction = Callable[[], Mapping[str, Any] | None]


class Sending(Protocol):
    """Jobs that are being stored together."""

    jobs: Sequence[NewJob[Any]]
    """What is stored: the jobs that were given, perhaps with more metadata."""

    def end(self, ids: Sequence[int], error: BaseException | None) -> None:
        """They were stored, under these ids; or they were not, because of this error."""
        ...


class Sender(Protocol):
    """Sees new jobs before they are stored."""

    def __call__(self, jobs: Sequence[NewJob[Any]]) -> Sending:
        """Called with jobs that are about to be stored together."""
        ...


class UnwatchedSending:
    """Jobs that are being stored, whose end nobody waits for."""

    def __init__(self, jobs: Sequence[NewJob[Any]]) -> None:
        self.jobs = jobs

    def end(self, ids: Sequence[int], error: BaseException | None) -> None:
        """Nothing is done."""


class Sendings:
    """One call that stores jobs, as its senders see it: portions that begin, and end in the same order."""

    def __init__(self, senders: Sequence[Sender]) -> None:
        self._senders = senders
        self._begun: deque[list[Sending]] = deque()

    def begin(self, jobs: Sequence[NewJob[Any]]) -> Sequence[NewJob[Any]]:
        """Tell the senders that a portion is about to be stored; its jobs, perhaps with more metadata."""
        if self._senders:
            begun: list[Sending] = []
            self._begun.append(begun)  # now: if a sender raises, those before it hear of that
            for sender in self._senders:
                begun.append(sender(jobs))
                jobs = begun[-1].jobs
        return jobs

    def stored(self, ids: Sequence[int]) -> None:
        """Tell the senders that the oldest portion that was begun is stored, under these ids."""
        if self._senders:
            _end(self._begun.popleft(), ids, None)

    def __enter__(self) -> "Sendings":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._begun:
            _end(self._begun.popleft(), (), error)


class AddedMetadata:
    """Adds to each job's metadata what a function of the app returns; what the job has already stays."""

    def __init__(self, function: MetadataFunction) -> None:
        self._function = function

    def __call__(self, jobs: Sequence[NewJob[Any]]) -> Sending:
        return UnwatchedSending(self.add(jobs))

    def add(self, jobs: Sequence[NewJob[Any]]) -> Sequence[NewJob[Any]]:
        """The jobs with what the function returns now.

        :raises ConfigurationError: if that is neither a dict nor ``None``.
        :raises InvalidPayload: if it cannot be stored as JSON.
        """
        added, name = self._function(), getattr(self._function, "__name__", repr(self._function))
        if added is not None and not isinstance(added, Mapping):
            raise ConfigurationError(f"{name}() returns a dict for the metadata of jobs, or None, not {added!r}")
        if not added:
            return jobs
        alone = encode(dict(added), what=f"what {name}() returns")
        return [job._replace(metadata=alone if job.metadata is None else _merged(added, job.metadata)) for job in jobs]


def _merged(added: Mapping[str, Any], metadata: str) -> str:
    return encode({**added, **decode_object(metadata)}, what="metadata")


def _end(begun: list[Sending], ids: Sequence[int], error: BaseException | None) -> None:
    for sending in reversed(begun):
        try:
            sending.end(ids, error)
        except Exception:  # of an exporter: the jobs are stored, and their caller is to hear that
            logger.exception("what was enqueued cannot be told to %r", sending)
