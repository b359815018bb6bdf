"""Exchanges with the store: what ended goes out, new jobs come in.

In one transaction, or, on a store with two writers, by transactions of their own, neither waiting for the other
(docs/decisions/0071 and 0078).
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from turnspit._runtime.outage import Outage
from turnspit._runtime.service import Backoff
from turnspit._runtime.worker.admission import Admission
from turnspit._runtime.worker.exchanges import exchange, store
from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.finisher import Finisher, Portion
from turnspit._runtime.worker.lanes import Lanes
from turnspit._runtime.worker.prefetch import Prefetch
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.standing_claim import StandingClaim
from turnspit._runtime.worker.work import Work
from turnspit.blueprints import TaskRegistry
from turnspit.clock import give_way, monotonic, sleep
from turnspit.contract import Engine
from turnspit.errors import EngineUnavailable, StoreFrozen, TurnspitError
from turnspit.records import Claim, ClaimAtOnce, ClaimRequest, FinishReport

__all__ = ["Claimer"]

logger = logging.getLogger("turnspit")

_STALE = 1.0
_MUCH = 500
"""With so many jobs ahead, the event loop is so busy that other threads hardly get their turn."""
_BUSY = 50
"""With fewer ended jobs than this, a second transaction costs the store more than it saves."""


class Claimer:
    """The worker's loop with the store. At most one claim is under way, and one portion of what ended."""

    def __init__(
        self,
        engine: Engine,
        settings: WorkerSettings,
        executor: Executor,
        finisher: Finisher,
        *,
        worker: Callable[[], int],
        may_claim: Callable[[], bool],
        tasks: Callable[[], TaskRegistry],
        outage: Outage,
        on_doubt: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._outage = outage
        self._on_doubt = on_doubt
        self._executor = executor
        self._finisher = finisher
        self._worker = worker
        self._may_claim = may_claim
        self._tasks = tasks
        self.lanes = Lanes(engine, settings, executor, worker=worker, tasks=tasks)
        self._admission = Admission(engine, self.lanes, executor, tasks=tasks)
        self._limited_come_first = False
        self._signal = asyncio.Event()
        self._backoff, self._storing_backoff = Backoff(), Backoff()
        self._storing: asyncio.Task[None] | None = None
        """The portion that is stored beside the claims."""
        self._work = Work.SEEN  # so that the first claim leaves none
        self._asked_for = Work.NONE
        """What was known when the claim that is under way was asked for."""
        self._more_waits = False
        """Whether the last claim brought all that it asked for."""
        self._poll_at = 0.0
        self._after = ""
        self.prefetch = Prefetch()
        self._claimed_at = monotonic()
        self.claiming = True
        self.has_asked = asyncio.Event()
        """Set when the store was asked for the first time, whatever became of it."""
        self._lock = asyncio.Lock()
        self.standing_claim = StandingClaim(engine, self._may_send)

    @contextlib.asynccontextmanager
    async def exchanging(self) -> AsyncIterator[None]:
        """Entered for each exchange; who is in it knows that no claim is in flight."""
        async with self._lock:
            await self._end_standing_claim()
            yield

    def signal(self) -> None:
        """Something may be due: look."""
        self._signal.set()

    def work_waits(self, *, was_seen: bool = False, was_asked_for: bool = False) -> None:
        """There may be jobs to claim.

        :param was_seen: the store has seen some, which may be of tasks that nobody knows.
        :param was_asked_for: the standing claim was sent, and its answer tells if there may be more.
        """
        if not was_asked_for:
            self._expect(Work.SEEN if was_seen else Work.POSSIBLE)
        self.lanes.woken()
        self._signal.set()

    def _expect(self, work: Work) -> None:
        self._work = max(self._work, work)

    def slot_freed(self) -> None:
        """A job ended here: claim, if there is work and the buffer runs low."""
        if (self._work and self._demand()) or self._executor.late or self._lanes_are_due():
            self._signal.set()

    async def run(self) -> None:
        """Exchange whenever something is due, until cancelled."""
        try:
            await self._run()
        finally:
            self.standing_claim.cancel()  # nobody would receive what it brings

    async def _run(self) -> None:
        while True:
            self._signal.clear()
            has_worked = await self._round()
            self.has_asked.set()
            if not has_worked:
                self._prepare_standing_claim()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._time_to_wait()):
                        await self._signal.wait()

    def _prepare_standing_claim(self) -> None:
        """Only while nothing runs here: behind a task that keeps the loop busy, others can begin jobs sooner."""
        if self._executor.is_idle and not self._work and self._demand():
            # Not the prefetch: it was measured with the last jobs, and others may be idle too.
            self.standing_claim.prepare(self._request_for(self._executor.concurrency))

    def _may_send(self, prepared: ClaimRequest) -> bool:
        """Whether it would be prepared again: not by a worker that has another number or more tasks now."""
        return self.claiming and self._may_claim() and prepared == self._request_for(prepared.limit)

    async def _end_standing_claim(self) -> None:
        """Begin with what it brought, if it was sent."""
        try:
            sent = await self.standing_claim.withdraw()
            if sent is None:
                return
            self._asked_for, self._claimed_at = Work.POSSIBLE, monotonic()
            claims, is_partial = sent.answer or ClaimAtOnce([], True)
            if is_partial:
                self._expect(Work.POSSIBLE)
            await self._take_in(claims, sent.request)
            await sleep(0)  # the jobs begin before this goes on
        except Exception as error:
            self._on_doubt()
            self._expect(Work.POSSIBLE)
            self._outage.failed("claimer", error, 0.0)

    def _time_to_wait(self) -> float | None:
        if not self.claiming:
            return None
        until = min(self._poll_at, self.lanes.due_at) if self._free_slots() else self._poll_at
        return max(0.0, until - monotonic())

    def _free_slots(self) -> int:
        """How many limited jobs could begin at once."""
        executor = self._executor
        if not self.claiming or not self._may_claim() or executor.holds_back or self._finisher.is_far_behind:
            return 0
        return self.lanes.slots(self.prefetch.jobs)

    def _lanes_are_due(self) -> bool:
        return monotonic() >= self.lanes.due_at and bool(self._free_slots())

    async def flush(self) -> None:
        """Store everything that ended; raises if the store does not take it."""
        async with self.exchanging():
            if self._storing is not None:
                await self._storing
            self._finisher.ask_for_undecided()
            while portion := self._finisher.take():
                await self._transact(self._engine.awrite, portion, None)

    @property
    def found_nothing(self) -> bool:
        """Whether the last claim found the queues empty, and none is under way."""
        return self._work is Work.NONE and not (self._lock.locked() or self.standing_claim.was_sent)

    async def _round(self) -> bool:
        """One exchange, if one is due; whether one was."""
        async with self.exchanging():
            request = self._request()
            try:
                return await self._exchange(request)
            except Exception as error:
                self._on_doubt()
                self._expect(max(self._asked_for, Work.POSSIBLE))
                await self._wait_after(error, "claimer", self._backoff)
        return True

    async def _exchange(self, request: ClaimRequest | None) -> bool:
        """Limited jobs and the others take turns in who comes first, so that neither keeps all slots."""
        self._limited_come_first = not self._limited_come_first
        if self._limited_come_first:
            has_worked = await self._claim_limited()
            has_worked = await self._store_and_claim(self._fitting(request)) or has_worked
        else:
            has_worked = await self._store_and_claim(request)
            has_worked = await self._claim_limited() or has_worked
        if has_worked:
            self._backoff.reset()
            self._outage.answered("claimer")
        else:
            await self._give_back_surplus()
        return has_worked

    def _fitting(self, request: ClaimRequest | None) -> ClaimRequest | None:
        """What is left to ask for after limited jobs have begun."""
        if request is None:
            return None
        demand = min(request.limit, self._demand())
        if not demand:
            self._expect(self._asked_for)
            return None
        return replace(request, limit=demand)

    async def _claim_limited(self) -> bool:
        await self.lanes.give_back_late()
        return self._lanes_are_due() and await self.lanes.claim(self._free_slots())

    async def _wait_after(self, error: Exception, who: str, backoff: Backoff) -> None:
        """The store took nothing: say so, and let some time pass before it is asked again."""
        delay = backoff.delay()
        self._outage.failed(who, error, delay)
        await sleep(delay)
        self._finisher.retry()

    async def _store_and_claim(self, request: ClaimRequest | None) -> bool:
        """Store what ended and claim; whether the store was waited for."""
        is_storing = self._storing is not None
        if request is None and (is_storing or not self._finisher.is_due):
            return False
        portion = Portion()
        if self._engine.has_two_writers and not (request is not None and self._goes_along()):
            if not is_storing and (self._finisher.is_due or self._finisher.waiting >= _BUSY):
                self._storing = asyncio.create_task(self._store_beside(), name="turnspit store")
            if request is None:
                return False
        elif self._finisher.is_searching:
            await self._transact(self._engine.awrite, self._finisher.take(), None)
        else:
            portion = self._finisher.take()
        transaction: Awaitable[bool] = self._transact(self._engine.awrite, portion, request)
        if self.prefetch.jobs >= _MUCH:
            transaction = asyncio.ensure_future(transaction)
            await sleep(0)  # lets it be handed over
            give_way()
        await transaction
        return True

    def _goes_along(self) -> bool:
        """Whether the transaction that claims stores what ended too, though the two could go at the same time.

        Where few jobs ended that costs the store less. But a job that has just been enqueued would wait for it: so only
        where others wait anyway, or are about to be released.
        """
        is_little = self._storing is None and self._finisher.waiting < _BUSY
        return is_little and (self._more_waits or self._finisher.may_release)

    async def connect_beside(self) -> None:
        """Open the connection for what ends before anything does: once connected, a worker needs no other.

        If that fails, the first end tries again, and says so.
        """
        if self._engine.has_two_writers:
            with contextlib.suppress(TurnspitError):
                await self._engine.awrite_beside(exchange, self._engine, Portion(), None)

    async def _store_beside(self) -> None:
        """Store what ended; neither claims nor jobs wait for it."""
        try:
            await self._transact(self._engine.awrite_beside, self._finisher.take(), None)
        except Exception as error:
            await self._wait_after(error, "finisher", self._storing_backoff)
        finally:
            self._storing = None
            self._signal.set()

    async def _transact(self, write: Callable[..., Any], portion: Portion, request: ClaimRequest | None) -> bool:
        """Store a portion and claim; ``False`` if the store refuses something of the portion, to be tried in parts."""
        try:
            report, claims = await self._ask(write, portion, request)
        except BaseException as error:
            if portion and isinstance(error, Exception) and not isinstance(error, EngineUnavailable | StoreFrozen):
                if self._finisher.refuse(portion, error, is_alone=request is None):
                    return False
            elif portion:
                self._finisher.put_back(portion)
            raise
        if portion:
            self._storing_backoff.reset()
            self._outage.answered("finisher")
            self._finisher.settle(portion, report)
            self._finisher.teller.add(portion.ended, report)
            self._executor.fill()  # one with a crash behind it waits until what ended before it is stored
        if request is not None:
            await self._take_in(claims, request)
        return True

    async def _take_in(self, claims: list[Claim], request: ClaimRequest) -> None:
        """Begin with what a claim has brought, unless its worker was declared dead meanwhile: others have its jobs."""
        self._more_waits = len(claims) >= request.limit
        if self._more_waits:
            self._expect(self._asked_for)
        if claims:
            self._after = claims[-1].queue
            self.prefetch.weigh(claims)
            admitted = await self._admission.admit(claims)
            if request.worker == self._worker():
                self._executor.add(admitted)
            else:
                self._executor.conditions.forget(*admitted)

    async def _ask(
        self, write: Callable[..., Any], portion: Portion, request: ClaimRequest | None
    ) -> tuple[FinishReport, list[Claim]]:
        if portion and request is not None:
            answer: tuple[FinishReport, list[Claim]] = await write(exchange, self._engine, portion, request)
            return answer
        if request is not None:
            return FinishReport(), await self._claim(write, request)
        if portion:
            return await store(self._engine, write, portion), []
        return FinishReport(), []

    async def _claim(self, write: Callable[..., Any], request: ClaimRequest) -> list[Claim]:
        """Try the fastest way first, and claim in full if that brought nothing, but may have left some."""
        claims: list[Claim]
        claims, is_partial = await write(self._engine.claim_jobs_at_once, request)
        is_partial = is_partial or self._asked_for is Work.SEEN
        if is_partial and not claims:
            _, claims = await write(exchange, self._engine, Portion(), request)
        elif is_partial:
            self._expect(self._asked_for)
        return claims

    def _request(self) -> ClaimRequest | None:
        now = monotonic()
        self.prefetch.measure(now, ended=self._finisher.finished, slots=self._executor.concurrency)
        if now >= self._poll_at:
            # Also where nothing can be claimed now: a time that has passed would make the loop spin.
            self._poll_at = now + self._settings.poll * random.uniform(0.75, 1.25)  # noqa: S311
            self._executor.fill()  # the lease may have been renewed after a gap
        if self._finisher.is_due and self._finisher.may_release:
            self._expect(Work.POSSIBLE)
        demand = self._demand()
        if not demand or not self._work:
            self._asked_for = Work.NONE
            return None
        # Forgotten before the claim: a wake that comes while it is under way must not be lost.
        self._asked_for, self._work = self._work, Work.NONE
        self._claimed_at = now
        return self._request_for(demand)

    def _request_for(self, demand: int) -> ClaimRequest:
        return ClaimRequest(self._worker(), demand, self._tasks().names, self._settings.queues, self._after)

    def _demand(self) -> int:
        """How many jobs to ask for: the free slots and the prefetch, once the buffer is half empty."""
        executor = self._executor
        waiting = executor.waiting
        if waiting > self.prefetch.jobs // 2:  # first, because this is asked at the end of each job
            return 0
        if not self.claiming or not self._may_claim() or executor.holds_back or self._finisher.is_far_behind:
            return 0
        return max(0, executor.concurrency + self.prefetch.jobs - executor.taken - waiting) + executor.lacking

    async def _give_back_surplus(self) -> None:
        """Jobs that were buffered behind fast ones and now wait behind slow ones go back, for other workers."""
        buffer, surplus = self._executor.buffer, self._executor.suspects.take_idle()
        behind = len(buffer) - self.prefetch.jobs
        if behind > 0 and monotonic() - self._claimed_at >= _STALE:
            surplus += [buffer.pop() for _ in range(behind)]
        if not surplus:
            return
        self._executor.conditions.forget(*surplus)
        try:
            await self._engine.awrite(self._engine.return_jobs, [(claim.id, claim.fence) for claim in surplus])
        except TurnspitError as error:
            # They may have gone back: to begin one here could be to run it beside its next claim.
            self._on_doubt()
            logger.warning("worker %s could not hand back %s jobs yet: %s", self._worker(), len(surplus), error)
