"""How wakes travel between processes: a datagram socket for each, with ``PRAGMA data_version`` as the fallback.

Every process that listens binds a socket in the folder beside the file, and after a commit each of them is sent one
small datagram. That costs nothing while idle and takes about 0.1 ms. A commit by somebody who sends none (another
language, or ``tx=`` on a bare connection) is noticed by the data version, which is read twenty times a second (reading
it every 5 ms cost 5 % of a core).
"""

import contextlib
import hashlib
import logging
import os
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from turnspit.clock import monotonic
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.contract.wakeups import Listener
from turnspit.engines.listeners import Listeners
from turnspit.engines.merging import EVERYTHING, from_text, merge, to_text
from turnspit.engines.sqlite.connection import connect_to_look

__all__ = ["SqliteWakeups"]

logger = logging.getLogger("turnspit")

_POLL = 0.05
"""Seconds between two looks at the data version."""
_QUIET = 0.05
"""Seconds without a change after which the folder's time of change can be trusted."""
_FRESH = 0.002
"""Seconds for which an enqueue trusts the last look at the folder, which takes 4 of the 160 µs of a durable commit. A
worker that starts meanwhile finds the job by its first claim or by the data version.
"""
_FULL_QUEUE = 8
"""With so many datagrams waiting, some may have been dropped: on many systems a socket's queue holds ten."""
_MOST_MESSAGES = 256
"""Datagrams that are received before what they say is passed on."""
_LONGEST_SOCKET_PATH = 100
_DATAGRAM = 16384


class SqliteWakeups:
    """See ``contract.wakeups``."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = _socket_folder(folder)
        self._listeners = Listeners()
        self._lock = threading.RLock()  # a signal handler may wait for a result while its thread begins to wait for one
        self._thread: _ListenerThread | None = None
        self._ending: list[_ListenerThread] = []
        """Threads that were told to stop, and may still have their connection open."""
        self._sender: socket.socket | None = None
        self._paused = False
        self._sockets: list[str] = []
        self._changed = 0
        self._quiet_at = 0.0
        self._looked_at = -_FRESH
        self._is_settled = False

    @property
    def arrive(self) -> bool:
        return self._thread is not None

    def send(self, wakes: list[Wake]) -> None:
        others = self._other_sockets(wakes) if wakes else []
        if not (others or self._listeners):
            return
        merged = merge(wakes)
        self._listeners.tell_of_own(merged)
        if others:
            message = to_text(merged).encode()
            for name in others:
                self._send_to(name, message)

    def listen(self, listener: Listener, patient: Listener | None = None) -> Callable[[], None]:
        with self._lock:
            self._listeners.add(listener, patient)
            self._start()

        def end() -> None:
            with self._lock:
                self._listeners.remove(listener, patient)
                if not self._listeners and self._thread is not None:
                    self._thread.stop()
                    self._ending = [each for each in (*self._ending, self._thread) if each.is_alive]
                    self._thread = None

        return end

    def _start(self) -> None:
        if self._thread is None and self._listeners and not self._paused:
            self._thread = _ListenerThread(self._path, self._folder, self._listeners.tell_of_others)

    @property
    def is_listening(self) -> bool:
        """Whether a thread listens now."""
        return self._thread is not None

    def pause(self) -> None:
        """Close sockets and connections, keep the listeners."""
        with self._lock:
            self._paused = True
            threads = self._ending if self._thread is None else [*self._ending, self._thread]
            self._thread, self._ending = None, []
            sender, self._sender = self._sender, None
        for thread in threads:
            thread.close()
        if sender is not None:
            sender.close()

    def resume(self) -> None:
        """Listen again."""
        with self._lock:
            self._paused = False
            self._start()

    def _other_sockets(self, wakes: list[Wake]) -> list[str]:
        """The sockets of other listeners. Only for new jobs an older look is good enough: somebody who waits for the
        end of a job may have begun to listen just now.
        """
        now = monotonic()
        if now - self._looked_at >= _FRESH or any(kind is not WakeKind.READY for kind, _ in wakes):
            self._looked_at = now
            self._look_for_sockets(now)
        own = self._thread.name if self._thread is not None else None
        return [name for name in self._sockets if name != own]

    def _look_for_sockets(self, now: float) -> None:
        """List the folder, if it may have changed.

        File systems keep times in steps of milliseconds, so a folder can change again without a new time of change. It
        is listed every time until it has been quiet for a moment.
        """
        try:
            changed = os.stat(self._folder).st_mtime_ns
            if changed != self._changed:
                self._changed, self._quiet_at, self._is_settled = changed, now + _QUIET, False
            if not self._is_settled:
                self._is_settled = now > self._quiet_at
                self._sockets = [name for name in os.listdir(self._folder) if name.endswith(".sock")]
        except OSError:
            self._sockets = []

    def _send_to(self, name: str, message: bytes) -> None:
        address = str(self._folder / name)
        try:
            sender = self._sender
            if sender is None:
                sender = self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                sender.setblocking(False)
            sender.sendto(message, address)  # not ``self._sender``: ``pause`` may be closing it, in another thread
        except ConnectionRefusedError:  # the process that bound it is gone
            with contextlib.suppress(OSError):
                os.unlink(address)
        except OSError:
            # A full socket holds wakes already; a process that cannot be reached finds the change by the data version.
            return


class _ListenerThread:
    """Waits on this process's socket, and reads the data version."""

    def __init__(self, path: Path, folder: Path, dispatch: Callable[[tuple[Wake, ...]], None]) -> None:
        self._path = path
        self._dispatch = dispatch
        self._stopping = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._version = 0
        self.name = f"{os.getpid()}-{os.urandom(4).hex()}.sock"
        self._address = folder / self.name
        self._socket = self._bind()
        self._thread = threading.Thread(target=self._run, name="turnspit-wakeups", daemon=True)
        self._thread.start()

    def _bind(self) -> socket.socket | None:
        if not hasattr(socket, "AF_UNIX"):
            return None
        for _ in range(2):  # another process that closes may be removing the folder at this moment
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._address.parent.mkdir(exist_ok=True)
                bound.settimeout(_POLL)
                bound.bind(str(self._address))
            except OSError as error:
                bound.close()
                logger.debug("no wake-up socket at %s (%s)", self._address, error)
            else:
                return bound
        return None

    def _run(self) -> None:
        while not self._stopping.is_set():
            wakes = self._receive()
            if self._stopping.is_set():
                break
            if self._has_changed() and not wakes:
                wakes = EVERYTHING
            if wakes:
                self._dispatch(wakes)
        if self._connection is not None:
            self._connection.close()
        if self._socket is not None:
            self._socket.close()

    def _has_changed(self) -> bool:
        """Whether anybody committed since the last look; ``False`` while the store cannot be read."""
        before = self._version
        try:
            self._connection = self._connection or connect_to_look(self._path)
            self._version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return False
        return self._version != before

    def _receive(self) -> tuple[Wake, ...]:
        """Wait until something comes, for ``_POLL`` seconds at most; the wakes, merged. If datagrams may have been
        dropped, these are wakes of every kind.
        """
        if self._socket is None:
            self._stopping.wait(_POLL)
            return ()
        messages: list[bytes] = []
        try:
            messages.append(self._socket.recv(_DATAGRAM))
            self._socket.setblocking(False)
            while len(messages) < _MOST_MESSAGES:
                messages.append(self._socket.recv(_DATAGRAM))
        except (TimeoutError, BlockingIOError):
            pass
        except OSError:
            self._stopping.wait(_POLL)
        finally:
            with contextlib.suppress(OSError):
                self._socket.settimeout(_POLL)
        if len(messages) >= _FULL_QUEUE:
            return EVERYTHING
        return merge([wake for each in messages for wake in from_text(each.decode(errors="replace"))])

    @property
    def is_alive(self) -> bool:
        """Whether it may still have its connection open."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let the thread end soon, and do not wait for that."""
        self._stopping.set()
        self._interrupt()
        with contextlib.suppress(OSError):
            self._address.unlink()
            self._address.parent.rmdir()  # only the folder under the temporary one is ever empty

    def close(self) -> None:
        """End the thread, with its connection."""
        self.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _interrupt(self) -> None:
        """Let the thread notice now that it is to stop."""
        if self._socket is not None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(b"", str(self._address))


def _socket_folder(folder: Path) -> Path:
    """Beside the file, or under the temporary folder where that path is too long for a socket."""
    if len(os.fsencode(folder)) + 30 <= _LONGEST_SOCKET_PATH:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"turnspit-{digest}"
