"""A worker's place in its store: its number, the lease that keeps it, and a new number after it was lost."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable

from turnspit._runtime.outage import Outage
from turnspit._runtime.service import Backoff
from turnspit._runtime.worker.heartbeat import Heartbeat
from turnspit._runtime.worker.settings import WorkerParts, WorkerSettings
from turnspit.clock import elapsed, sleep
from turnspit.records import BlockedLoop, NewWorker

__all__ = ["Registration"]

logger = logging.getLogger("turnspit")


class Registration:
    """Made on the worker's event loop; its heart beats in a thread, which goes on where the loop has ended.

    :param on_registered: called each time the worker has got a number.
    :param on_lost: called on the loop when another worker declared this one dead; it is about to come back.
    :param look: asked before each renewal, in the heartbeat's thread, whether the event loop is blocked.
    """

    def __init__(
        self,
        parts: WorkerParts,
        settings: WorkerSettings,
        outage: Outage,
        on_registered: Callable[[], None],
        *,
        on_lost: Callable[[], None],
        look: Callable[[], BlockedLoop | None],
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._outage = outage
        self._engine = parts.engine
        self._on_registered = on_registered
        self._on_lost = on_lost
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._heartbeat: Heartbeat | None = None
        self._coming_back: asyncio.Task[None] | None = None
        self._is_wanted = True
        self.stop_blocked: Callable[[], object] = lambda: None
        """Called once, in the heartbeat's thread, where a person asked this worker to stop and its loop is blocked."""

    @property
    def id(self) -> int:
        """The worker's number; a new one after it was declared dead, and 0 while it has none."""
        heartbeat = self._heartbeat
        return 0 if heartbeat is None else heartbeat.worker

    @property
    def holds(self) -> bool:
        """One that cannot renew its lease starts nothing: others may be about to take its jobs."""
        heartbeat = self._heartbeat
        return heartbeat is not None and heartbeat.is_current

    @property
    def may_rescue(self) -> bool:
        """Whether its own lease has been renewed for so long that it may doubt that of others."""
        heartbeat = self._heartbeat
        return heartbeat is not None and heartbeat.is_gapless

    @property
    def trouble(self) -> str | None:
        """What is wrong with it, for people; from any thread."""
        heartbeat = self._heartbeat
        return "it is not registered with the store yet" if heartbeat is None else heartbeat.trouble

    async def register(self) -> None:
        """Get a number, and keep it."""
        settings = self._settings
        new = NewWorker(
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._parts.version,
            queues=settings.queues,
            tasks=self._parts.tasks.names,
            concurrency=settings.concurrency,
            lease=int(settings.lease * 1_000_000),
        )
        began = elapsed()
        worker = await self._engine.awrite(self._engine.register_worker, new)
        self._heartbeat = Heartbeat(
            self._engine,
            worker,
            since=began,
            lease=settings.lease,
            interval=settings.heartbeat,
            on_dead=self._tell_loop,
            look=lambda: self._look(),
            stop_blocked=lambda: self.stop_blocked(),
            outage=self._outage,
        )
        self._heartbeat.start()
        logger.info("worker %s started: pid %s, store %s", worker, os.getpid(), self._engine.location)
        self._on_registered()

    def _tell_loop(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended, and left threads behind
            self._loop.call_soon_threadsafe(self._lose)

    def _lose(self) -> None:
        """Another worker took this one's jobs: come back under a new number."""
        self._heartbeat = None
        self._on_lost()
        if self._is_wanted:
            self._coming_back = asyncio.create_task(self._come_back(), name="turnspit register")

    async def _come_back(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self.register()
            except Exception as error:
                delay = backoff.delay()
                self._outage.failed("registration", error, delay, what="could not register again")
                await sleep(delay)
            else:
                self._outage.answered("registration")
                return

    async def end_on_loop(self) -> None:
        """The worker stops: it comes back no more, and nobody looks after its loop. The lease is still kept."""
        self._is_wanted = False
        self._look = lambda: None
        if self._coming_back is not None:
            self._coming_back.cancel()
            await asyncio.gather(self._coming_back, return_exceptions=True)

    def let_go(self) -> None:
        """Keep the lease no longer; from any thread. The worker is retired then, or the lease runs out."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
