"""Passes the wakes that a worker hears on to those of its parts that they are about."""

import asyncio
import contextlib
from collections.abc import Mapping

from turnspit._runtime.service import Service
from turnspit._runtime.worker.claimer import Claimer
from turnspit._runtime.worker.reconciler import Reconciler
from turnspit.contract.verbs import Wake, WakeKind

__all__ = ["WakeListener"]

_SERVED_BY = {
    WakeKind.CANCEL: "reconciler",
    WakeKind.PAUSE: "reconciler",
    WakeKind.SCHEDULED: "promoter",
    WakeKind.SCHEDULE: "scheduler",
    WakeKind.WORKFLOW: "tender",
}


class WakeListener:
    """Hears on any thread, and reacts on the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        claimer: Claimer,
        reconciler: Reconciler,
        services: Mapping[str, Service],
    ) -> None:
        self._loop = loop
        self._claimer = claimer
        self._reconciler = reconciler
        self._services = services

    def hear(self, wake: Wake) -> None:
        """Of what a call of this process did: whoever made it does not wait."""
        self._react_soon(wake.kind)

    def hear_of_others(self, wake: Wake) -> None:
        """Of what another process did, on a thread that may ask the store."""
        is_ready = wake.kind is WakeKind.READY and self._loop.is_running()
        self._react_soon(wake.kind, was_asked_for=is_ready and self._claimer.standing_claim.send())

    def _react_soon(self, kind: WakeKind, *, was_asked_for: bool = False) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
            self._loop.call_soon_threadsafe(self._react, kind, was_asked_for)

    def _react(self, kind: WakeKind, was_asked_for: bool) -> None:
        if kind is WakeKind.READY:
            self._claimer.work_waits(was_asked_for=was_asked_for)
        if kind is WakeKind.PAUSE:
            self._reconciler.note_pause()
        if kind in _SERVED_BY:
            self._services[_SERVED_BY[kind]].wake()
