"""The claim that an idle worker has ready for the next job."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from turnspit.contract import Engine
from turnspit.errors import EngineUnavailable
from turnspit.records import ClaimAtOnce, ClaimRequest

__all__ = ["Sent", "StandingClaim"]


class Sent(NamedTuple):
    """A standing claim that was sent."""

    request: ClaimRequest
    answer: ClaimAtOnce | None
    """``None`` if the store could not be asked without waiting, or is to be asked for something else now."""


class StandingClaim:
    """Is prepared on the event loop, and sent by the thread that hears of a job.

    To wake the event loop and then the writer's thread for it would take a tenth of what a job waits for an idle worker
    (docs/decisions/0077).

    :param may_send: asked on the thread that sends it.
    """

    def __init__(self, engine: Engine, may_send: Callable[[ClaimRequest], bool]) -> None:
        self._engine = engine
        self._may_send = may_send
        self._lock = threading.Lock()
        self._prepared: ClaimRequest | None = None
        self._sent: Future[Sent] | None = None

    @property
    def was_sent(self) -> bool:
        """Whether it may have brought what nobody has received yet."""
        return self._sent is not None

    def prepare(self, request: ClaimRequest) -> None:
        """Let it be sent at the next wake, once, unless it is cancelled or withdrawn before."""
        self._prepared = request

    def cancel(self) -> None:
        """From now on it is not sent."""
        with self._lock:
            self._prepared = None

    def send(self) -> bool:
        """Claim on this thread, if a claim is prepared; whether one was. Then it is to be withdrawn."""
        with self._lock:
            request, self._prepared = self._prepared, None
            if request is None:
                return False
            sent = self._sent = Future()
        sent.set_running_or_notify_cancel()  # so that nobody who gives up waiting can cancel it
        try:
            sent.set_result(Sent(request, self._ask(request)))
        except Exception as error:
            sent.set_exception(error)
        return True

    def _ask(self, request: ClaimRequest) -> ClaimAtOnce | None:
        return self._engine.try_write(self._engine.claim_jobs_at_once, request) if self._may_send(request) else None

    async def withdraw(self) -> Sent | None:
        """From now on it is not sent. What became of it if it was; who is cancelled meanwhile leaves that to the next.

        :raises EngineUnavailable: if the store did not answer in time: it may have claimed jobs all the same.
        """
        self.cancel()
        sent = self._sent
        if sent is None:
            return None
        try:
            answer = sent.result() if sent.done() else await self._answer(sent)
        except Exception:
            self._sent = None
            raise
        self._sent = None
        return answer

    async def _answer(self, sent: Future[Sent]) -> Sent:
        engine = self._engine
        try:
            async with asyncio.timeout(engine.deadline):
                return await asyncio.wrap_future(sent)
        except TimeoutError:
            raise EngineUnavailable(
                f"store {engine.location} did not answer within {engine.deadline:g} s: "
                "the call may or may not have been carried out"
            ) from None
