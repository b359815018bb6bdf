"""How wakes travel between processes: ``NOTIFY`` after each commit, ``LISTEN`` in a thread of each process.

``NOTIFY`` takes a lock at commit that serialises all writers. So it is not part of the transaction that it tells of: it
is sent in one of its own, which does not wait for the disk. That is sent right after the commit on the same connection,
or, where commits follow each other closely, by a thread that merges what waits: a process that enqueues a thousand jobs
a second notifies a few hundred times. The last wake is always sent. With ``tx=`` the notification is part of the
caller's transaction, because only that knows when it commits.

A listening connection never holds a snapshot: each of its statements is a transaction of its own. While it hears
nothing, it asks the server now and then whether the connection still works. After it was lost and made anew, every
listener is told to look at everything.
"""

import atexit
import contextlib
import logging
import os
import random
import socket
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import psycopg

from turnspit.clock import monotonic
from turnspit.contract.verbs import Statement, Wake
from turnspit.contract.wakeups import Listener
from turnspit.engines.listeners import Listeners
from turnspit.engines.merging import EVERYTHING, from_text, merge, to_text
from turnspit.engines.postgres.errors import one_line
from turnspit.engines.postgres.opening import Connection, connect, cut
from turnspit.engines.postgres.readiness import when_readable
from turnspit.engines.postgres.settings import Settings

__all__ = ["PostgresWakeups"]

logger = logging.getLogger("turnspit")

_TOGETHER = 0.002
"""Mean seconds between two notifications of a process: what comes meanwhile is sent together."""
_AT_ONCE = 5
"""How many notifications may be ahead of that pace: commits come at random moments, and should not wait for it."""
_QUESTION = 15.0
"""Seconds of silence after which a listener asks whether its connection still works."""
_ANSWER = 5.0
"""Seconds without an answer after which a connection is given up."""
_UNUSED = 10.0
"""Seconds for which the listening connection is kept though nobody listens: a connection for each result that somebody
waits for would take longer than many a job.
"""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_JOIN_TIMEOUT = 5.0
_EXIT_TIMEOUT = 1.0

_senders: "weakref.WeakSet[_SenderThread]" = weakref.WeakSet()


class PostgresWakeups:
    """See ``contract.wakeups``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._token = os.urandom(8).hex()
        self._listeners = Listeners()
        self._lock = threading.RLock()  # a signal handler may wait for a result while its thread begins to wait for one
        self._sender: _SenderThread | None = None
        self._receiver: _ReceiverThread | None = None
        self._paused = False
        self._covered_until = 0.0
        self._unused_since = 0.0

    @property
    def arrive(self) -> bool:
        receiver = self._receiver
        return receiver is not None and receiver.is_listening

    def send(
        self, wakes: list[Wake], notify: Callable[[str], bool] = lambda _: False, *, are_others_told: bool = False
    ) -> None:
        """Tell the listeners of this process at once, and other processes soon.

        :param notify: sends a payload without waiting for the answer; ``False`` if it cannot. Where many wakes follow
            each other closely it is not used: a thread sends them together.
        :param are_others_told: whether the payload of ``payload_at_once`` was sent, which told other processes.
        """
        if not wakes:
            return
        merged = merge(wakes)
        if not are_others_told:
            payload = self.payload_at_once(merged)
            if payload is None or not notify(payload):
                self._send_soon(merged)
        self._listeners.tell_of_own(merged)

    def payload_at_once(self, wakes: Sequence[Wake]) -> str | None:
        """The payload to notify with now; ``None`` where wakes follow closely, and a thread sends them together."""
        return None if self._settings.poll_only or not self._is_quiet() else self._payload(wakes)

    def _is_quiet(self) -> bool:
        with self._lock:
            now = monotonic()
            is_idle = self._sender is None or self._sender.is_idle
            if self._paused or not is_idle or now < self._covered_until - _AT_ONCE * _TOGETHER:
                return False
            self._covered_until = max(now, self._covered_until) + _TOGETHER
            return True

    def _send_soon(self, wakes: tuple[Wake, ...]) -> None:
        with self._lock:
            if self._paused or self._settings.poll_only:
                return
            try:
                self._sender = self._sender or _SenderThread(self._settings, self._payload)
            except (
                RuntimeError
            ) as error:  # no thread can be started while the interpreter exits: others find it by polling
                logger.debug("a wake was not sent: %s", error)
                return
            self._sender.add(wakes)

    def _payload(self, wakes: Sequence[Wake]) -> str:
        return f"{self._token}\n{to_text(wakes)}"

    def statement(self, wakes: list[Wake]) -> Statement | None:
        """The statement that notifies everybody, this process too, when the transaction that runs it commits."""
        if not wakes or self._settings.poll_only:
            return None
        params = {"channel": self._settings.channel, "payload": "\n" + to_text(merge(wakes))}
        return Statement("SELECT pg_notify(:channel, :payload)", params)

    def listen(self, listener: Listener, patient: Listener | None = None) -> Callable[[], None]:
        with self._lock:
            self._listeners.add(listener, patient)
            self._start()

        def end() -> None:
            with self._lock:
                self._listeners.remove(listener, patient)
                self._unused_since = monotonic()

        return end

    def _let_go_unused(self, receiver: "_ReceiverThread") -> bool:
        """Keep this receiver no longer if nobody has listened for some time; whether that was so."""
        with self._lock:
            is_used = bool(self._listeners) or monotonic() - self._unused_since < _UNUSED
            if is_used or self._receiver is not receiver:
                return False
            self._receiver = None
            return True

    def _start(self) -> None:
        if self._receiver is None and self._listeners and not self._paused and not self._settings.poll_only:
            self._receiver = _ReceiverThread(
                self._settings, self._token, self._listeners.tell_of_others, self._let_go_unused
            )

    def pause(self) -> None:
        """Close threads and connections, keep the listeners."""
        with self._lock:
            self._paused = True
            threads = [thread for thread in (self._sender, self._receiver) if thread is not None]
            self._sender = self._receiver = None
        for thread in threads:
            thread.close()

    def resume(self) -> None:
        """Listen again."""
        with self._lock:
            self._paused = False
            self._start()


class _SenderThread:
    """Merges the wakes that wait, and sends them as one notification."""

    def __init__(self, settings: Settings, payload: Callable[[Sequence[Wake]], str]) -> None:
        self._settings = settings
        self._payload = payload
        self._waiting: list[Wake] = []
        self.is_idle = True
        """Nothing waits, and the last notification was sent some time ago."""
        self._lock = threading.RLock()  # acquired directly, never through the condition: see ``CallQueue.lock``
        self._work = threading.Condition(self._lock)
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="turnspit-notifier", daemon=True)
        self._thread.start()
        _senders.add(self)

    def add(self, wakes: tuple[Wake, ...]) -> None:
        with self._lock:
            if not self._waiting:
                self._waiting, self.is_idle = list(wakes), False
                self._work.notify()
            elif any(wake not in self._waiting for wake in wakes):
                self._waiting = list(merge([*self._waiting, *wakes]))
            connection, since = self._connection, self._busy_since
            if connection is not None and since is not None and monotonic() - since > _ANSWER:
                cut(connection)

    def _run(self) -> None:
        while True:
            with self._lock:
                self.is_idle = not self._waiting
                while not self._waiting and not self._stopping.is_set():
                    self._work.wait()
                wakes, self._waiting = self._waiting, []
            if not wakes:
                break
            self._notify(wakes)
            self._stopping.wait(_TOGETHER)
        if self._connection is not None:
            self._connection.close()

    def _notify(self, wakes: list[Wake]) -> None:
        """Send one notification; on a new connection if the old one was lost. If that fails too it is dropped: other
        processes find by polling what has changed.
        """
        self._busy_since = monotonic()
        try:
            is_sent = is_new = False
            while not (is_sent or is_new):
                is_new = self._connect()
                is_sent = self._send(wakes)
        except (psycopg.Error, OSError, ValueError) as error:  # the last two if too many files are open
            logger.debug("a wake was not sent: %s", error)
        finally:
            self._busy_since = None

    def _connect(self) -> bool:
        """Connect, unless connected; whether the connection is a new one."""
        if self._connection is not None and not self._connection.closed:
            return False
        connect(self._settings, self._open).execute("SET synchronous_commit = off")
        return True

    def _send(self, wakes: list[Wake]) -> bool:
        """Send it; ``False`` if the connection was lost. An error that the server answers is not tried again."""
        assert self._connection is not None
        try:
            self._connection.execute("SELECT pg_notify(%s, %s)", (self._settings.channel, self._payload(wakes)))
        except psycopg.Error as error:
            logger.debug("a wake was not sent: %s", error)
        return not self._connection.closed

    def _open(self, connection: Connection) -> None:
        self._connection = connection

    def close(self, timeout: float = _JOIN_TIMEOUT) -> None:
        """Send what waits, and end the thread."""
        self._stopping.set()
        with self._lock:
            self._work.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)


@atexit.register
def _send_last_wakes() -> None:
    """Otherwise a program that enqueues and exits at once could lose its notification."""
    for sender in list(_senders):
        sender.close(_EXIT_TIMEOUT)


class _ReceiverThread:
    """Waits for notifications on a connection of its own."""

    def __init__(
        self,
        settings: Settings,
        token: str,
        dispatch: Callable[[tuple[Wake, ...]], None],
        let_go_unused: "Callable[[_ReceiverThread], bool]",
    ) -> None:
        self._settings = settings
        self._token = token
        self._dispatch = dispatch
        self._let_go_unused = let_go_unused
        self._stopping = threading.Event()
        self._heard: list[str] = []
        """Payloads that are still to be passed on."""
        self._was_listening = True
        self.is_listening = False
        self._stop_receiver, self._stop_sender = socket.socketpair()  # a byte interrupts ``_wait``
        self._thread = threading.Thread(target=self._run, name="turnspit-wakeups", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while self._goes_on():
            began = monotonic()
            try:
                self._listen()
            except (psycopg.Error, OSError, ValueError) as error:
                if self._stopping.is_set():
                    break
                pause = _FIRST_PAUSE if monotonic() - began > _LONGEST_PAUSE else min(_LONGEST_PAUSE, pause * 2)
                # Shown once for each outage: the worker itself reports how it goes on.
                level = logging.INFO if self._was_listening else logging.DEBUG
                self._was_listening = False
                logger.log(level, "the listening connection was lost (%s): listening again soon", one_line(error))
                self._stopping.wait(random.uniform(pause / 2, pause))  # noqa: S311  (jitter, not a secret)
        self._stop_receiver.close()
        self._stop_sender.close()

    def _goes_on(self) -> bool:
        if not self._stopping.is_set() and self._let_go_unused(self):
            self._stopping.set()
        return not self._stopping.is_set()

    def _listen(self) -> None:
        with ExitStack() as limits:
            connection = connect(self._settings, lambda opened: limits.enter_context(_limited(opened)))
            connection.add_notify_handler(self._hear)
            connection.execute(f"LISTEN {self._settings.channel}")
        try:
            self._was_listening = True
            self.is_listening = True
            self._dispatch(EVERYTHING)  # for what was committed before, no notification will come
            while self._goes_on():
                self._wait(connection)
                self._pass_on()
        finally:
            self.is_listening = False
            connection.close()

    def _wait(self, connection: Connection) -> None:
        """Wait until something comes; after a long silence, ask the server whether the connection still works."""
        if not when_readable(connection.fileno(), self._stop_receiver.fileno())(_QUESTION * 1000):
            with _limited(connection):
                connection.execute("SELECT")
        elif not self._stopping.is_set():
            connection.pgconn.consume_input()
            while (notify := connection.pgconn.notifies()) is not None:
                self._heard.append(notify.extra.decode())

    def _hear(self, notify: Any) -> None:
        self._heard.append(notify.payload)

    def _pass_on(self) -> None:
        heard, self._heard = self._heard, []
        wakes: list[Wake] = []
        for payload in heard:
            token, _, text = payload.partition("\n")
            if token != self._token:  # this process's own wakes were dispatched when it sent them
                wakes += from_text(text)
        if wakes:
            self._dispatch(merge(wakes))

    def close(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._stop_sender.send(b".")
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=_JOIN_TIMEOUT)


@contextlib.contextmanager
def _limited(connection: Connection) -> Iterator[None]:
    """Cut the connection if the block takes longer than ``_ANSWER`` seconds."""
    timer = threading.Timer(_ANSWER, cut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
