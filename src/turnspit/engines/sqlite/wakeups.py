"""The bell of a file: a datagram socket for each listening process, and ``PRAGMA data_version`` behind it.

Every process that listens binds a socket in the folder beside the file; a commit sends each of them one small
datagram. Receiving costs nothing while idle and takes about 0.1 ms. A commit by someone who rings no bell (another
language, or ``tx=`` on a bare connection) is noticed by the data version, looked at twenty times a second
(looking every 5 ms cost 5 % of a core).
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
from turnspit.contract.verbs import Wake
from turnspit.contract.wakeups import Listener
from turnspit.engines.merging import EVERYTHING, from_text, merge, to_text
from turnspit.engines.sqlite.connection import connect_to_look

__all__ = ["SqliteWakeups"]

logger = logging.getLogger("turnspit")

_POLL = 0.05
_QUIET = 0.05
_FULL_QUEUE = 8
"""A receiver's queue holds ten datagrams on many systems; what found no room was dropped by its sender."""
_MOST_MESSAGES = 256
_LONGEST_SOCKET_PATH = 100
_DATAGRAM = 16384


class SqliteWakeups:
    """See ``contract.wakeups``."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = _socket_folder(folder)
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._thread: _ListenerThread | None = None
        self._sender: socket.socket | None = None
        self._paused = False
        self._sockets: list[str] = []
        self._changed = 0
        self._quiet_at = 0.0
        self._is_settled = False

    @property
    def arrive(self) -> bool:
        return self._thread is not None

    def send(self, wakes: list[Wake]) -> None:
        others = self._other_sockets() if wakes else []
        if not (others or self._listeners):
            return
        merged = merge(wakes)
        self._dispatch(merged)
        if others:
            message = to_text(merged).encode()
            for name in others:
                self._send_to(name, message)

    def listen(self, listener: Listener) -> Callable[[], None]:
        with self._lock:
            self._listeners = [*self._listeners, listener]
            self._start()

        def end() -> None:
            with self._lock:
                self._listeners = [each for each in self._listeners if each is not listener]
                thread = self._thread if not self._listeners else None
                if thread is not None:
                    self._thread = None
            if thread is not None:
                thread.close()

        return end

    def _start(self) -> None:
        if self._thread is None and self._listeners and not self._paused:
            self._thread = _ListenerThread(self._path, self._folder, self._dispatch)

    @property
    def is_listening(self) -> bool:
        """Whether a thread listens now."""
        return self._thread is not None

    def pause(self) -> None:
        """Let go of sockets and connections, keep the listeners."""
        with self._lock:
            self._paused = True
            thread, self._thread = self._thread, None
            sender, self._sender = self._sender, None
        if thread is not None:
            thread.close()
        if sender is not None:
            sender.close()

    def resume(self) -> None:
        """Listen again."""
        with self._lock:
            self._paused = False
            self._start()

    def _dispatch(self, wakes: tuple[Wake, ...]) -> None:
        for listener in self._listeners:
            for wake in wakes:
                try:
                    listener(wake)
                except Exception:
                    logger.exception("a wake-up listener failed")

    def _other_sockets(self) -> list[str]:
        """The sockets of other listeners; the folder is listed again only when it changed.

        File systems tell times in steps of milliseconds: a folder that changed just now may change again without
        showing it, so it is listed until it has been quiet for a moment.
        """
        try:
            changed = os.stat(self._folder).st_mtime_ns
            now = monotonic()
            if changed != self._changed:
                self._changed, self._quiet_at, self._is_settled = changed, now + _QUIET, False
            if not self._is_settled:
                self._is_settled = now > self._quiet_at
                self._sockets = [name for name in os.listdir(self._folder) if name.endswith(".sock")]
        except OSError:
            return []
        own = self._thread.name if self._thread is not None else None
        return [name for name in self._sockets if name != own]

    def _send_to(self, name: str, message: bytes) -> None:
        address = str(self._folder / name)
        try:
            if self._sender is None:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sender.setblocking(False)
            self._sender.sendto(message, address)
        except ConnectionRefusedError:  # its process is gone
            with contextlib.suppress(OSError):
                os.unlink(address)
        except OSError:
            # A full socket holds a wake already; one that cannot be reached is polling behind it.
            return


class _ListenerThread:
    """Waits on this process's socket and looks at the data version."""

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
        for _ in range(2):  # the last one to close may be removing the folder at this moment
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

    def _has_changed(self) -> bool:
        """Whether anybody committed since the last look. A store that cannot be read now is looked at again."""
        before = self._version
        try:
            self._connection = self._connection or connect_to_look(self._path)
            self._version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return False
        return self._version != before

    def _receive(self) -> tuple[Wake, ...]:
        """What came within one look, merged. So many that some may have found no room count as everything."""
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

    def close(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._address.unlink()
            self._address.parent.rmdir()  # only the folder under the temporary one is ever empty
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)
        if self._socket is not None:
            self._socket.close()


def _socket_folder(folder: Path) -> Path:
    """Beside the file, or under the temporary folder where that path is too long for a socket."""
    if len(os.fsencode(folder)) + 30 <= _LONGEST_SOCKET_PATH:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"turnspit-{digest}"
