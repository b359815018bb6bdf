"""Changes to many jobs: started by a person, carried out in portions in the background, and stopped by anybody."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import randbelow
from typing import NamedTuple

from starlette.requests import Request

from turnspit.clock import monotonic, sleep, utc_now
from turnspit.errors import ConfigurationError, JobNotFound, TurnspitError
from turnspit.jobs import JobFilter
from turnspit.operations import CANCEL, DELETE, REPLAY, RUN_NOW, JobChange, Portions, check_rate
from turnspit.web.answer_cache import AnswerCache
from turnspit.web.audit import audit, who
from turnspit.web.changes import REASON
from turnspit.web.models import Count
from turnspit.web.permissions import Permission, check_permission
from turnspit.web.reading.jobs import JobReader
from turnspit.web.served import Served

__all__ = ["BULK_VERBS", "Bulk", "BulkChange"]

logger = logging.getLogger("turnspit")

_KEPT = 20
_NUMBERS = 2**48
_SHOWN = 120.0
"""Seconds that a change is still shown after it has ended."""


class _BulkVerb(NamedTuple):
    permission: Permission
    change: JobChange


BULK_VERBS = {
    "replay": _BulkVerb(Permission.REPLAY, REPLAY),
    "cancel": _BulkVerb(Permission.CANCEL, CANCEL),
    "run": _BulkVerb(Permission.RUN, RUN_NOW),
    "delete": _BulkVerb(Permission.DELETE, DELETE),
}
"""What can be done to all jobs that match a search."""


@dataclass(slots=True)
class BulkChange:
    """One such change, while it runs and a while after."""

    id: int
    """No other process has this number: to stop a change never stops one of another process, or of one before."""
    verb: str
    search: str
    """What was searched for, as text."""
    expected: Count
    who: str
    rate: float | None
    """Jobs a second; ``None``: as fast as it goes."""
    started_at: datetime
    ended_at: float | None = None
    """Read from ``monotonic()``."""
    changed: int = 0
    state: str = "running"
    """``running``, ``done``, ``stopped`` or ``failed``."""
    was_asked_to_stop: bool = False
    error: str | None = None
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)

    @property
    def done_word(self) -> str:
        """The verb's participle."""
        return BULK_VERBS[self.verb].change.done


class Bulk:
    """The changes that this process carries out."""

    def __init__(self, app: Served, jobs: JobReader, cache: AnswerCache) -> None:
        self._app = app
        self._jobs = jobs
        self._cache = cache
        self._changes: dict[int, BulkChange] = {}

    @property
    def changes(self) -> Sequence[BulkChange]:
        """The changes that run or ended lately, the newest first."""
        return list(reversed(self._changes.values()))

    @property
    def shown(self) -> Sequence[BulkChange]:
        """The changes that run; if none does, the one that ended last, for two minutes."""
        since = monotonic() - _SHOWN
        lately = [each for each in self.changes if each.ended_at is None or each.ended_at > since]
        return [each for each in lately if each.ended_at is None] or lately[:1]

    async def expect(self, verb: str, filter_: JobFilter) -> Count:
        """How many jobs would be changed.

        :raises ConfigurationError: if the verb cannot be applied to jobs in this state.
        """
        filters = _filters(verb, filter_)
        counts = [await self._jobs.count(each) for each in filters]
        return sum(counts, Count(count=0))

    def sample_of(self, verb: str, filter_: JobFilter) -> JobFilter:
        """A filter for some of the jobs that would be changed."""
        return _filters(verb, filter_)[0]

    async def start(
        self, request: Request, verb: str, filter_: JobFilter, search: str, rate: float | None
    ) -> BulkChange:
        """Start a change.

        :raises ConfigurationError: if the verb cannot be applied to these jobs, or the search is empty.
        """
        filters = _filters(verb, filter_)
        await check_permission(request, BULK_VERBS[verb].permission)
        if filter_.is_empty:
            raise ConfigurationError(f"a search that is empty means every job: narrow it to {verb} some")
        check_rate(rate)
        expected = await self.expect(verb, filter_)
        change = BulkChange(randbelow(_NUMBERS) + 1, verb, search, expected, who(request), rate, utc_now())
        self._changes[change.id] = change
        for old in list(self._changes)[:-_KEPT]:
            if self._changes[old].state != "running":
                del self._changes[old]
        audit(request, f"{verb} many", search=search, expected=expected.count, bulk=change.id, rate=rate)
        change.task = asyncio.create_task(self._run(change, filters))
        return change

    async def stop(self, request: Request, number: int) -> BulkChange:
        """Stop a change; what was changed so far stays changed.

        :raises JobNotFound: if this process has no such change.
        """
        change = self._changes.get(number)
        if change is None or change.task is None:
            raise JobNotFound(f"there is no change {number}: it ended a while ago, or another process began it")
        await check_permission(request, BULK_VERBS[change.verb].permission)
        audit(request, "stop", bulk=number, changed=change.changed)
        change.was_asked_to_stop = True
        change.task.cancel()
        return change

    async def _run(self, change: BulkChange, filters: Sequence[JobFilter]) -> None:
        try:
            for filter_ in filters:
                await self._work_through(change, filter_)
            change.state = "done"
        except asyncio.CancelledError:
            change.state = "stopped"
            if not change.was_asked_to_stop:
                _tell_of_end(change)
        except TurnspitError as error:
            change.state, change.error = "failed", str(error)
        except Exception as error:
            change.state, change.error = "failed", f"{type(error).__name__}: {error}"
            logger.exception("the bulk change %s (%s of %s) failed", change.id, change.verb, change.search)
        finally:
            change.ended_at = monotonic()
            self._cache.forget()

    async def _work_through(self, change: BulkChange, filter_: JobFilter) -> None:
        engine, before, is_more = self._app.engine, change.changed, True
        portions = Portions(engine, BULK_VERBS[change.verb].change, filter_, rate=change.rate, reason=REASON)
        while is_more:
            writing = asyncio.ensure_future(engine.awrite(*portions.next()))
            try:
                is_more = portions.take(await asyncio.shield(writing))
            except asyncio.CancelledError:
                portions.take(await writing)  # what is on its way to the store is counted, too
                raise
            finally:
                change.changed = before + portions.changed
            await sleep(portions.rest() if is_more else 0.0)


def _tell_of_end(change: BulkChange) -> None:
    """A change ends with its process, and no page tells of it afterwards."""
    logger.warning(
        "this process ends, and with it what %s began on the dashboard: %s of %s%s jobs that match %s were %s; the "
        "others are as they were, and the same change goes on with them",
        change.who,
        change.changed,
        change.expected.count,
        "+" if change.expected.at_least else "",
        ascii(change.search),
        change.done_word,
    )


def _filters(verb: str, filter_: JobFilter) -> Sequence[JobFilter]:
    """Filters that together match those jobs of a search to which the verb can be applied."""
    if verb not in BULK_VERBS:
        raise ConfigurationError(f"{verb!r} is none of {', '.join(BULK_VERBS)}")
    change = BULK_VERBS[verb].change
    change.check_state(filter_.state)
    if filter_.state is not None:
        return [filter_]
    return [replace(filter_, state=each) for each in change.meant_states]
