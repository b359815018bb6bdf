"""Processes take turns at a file's write lock.

SQLite's own busy handler sleeps and tries again, so that one tight writer can starve another for seconds
(4.6 s measured, 5 ms with this lock file). ``flock`` queues the waiters. Where the platform has none, or the
lock file cannot be made, the busy handler alone decides.
"""

import contextlib
import os
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Turnstile"]


class Turnstile:
    """A lock between processes, held as a context manager."""

    def __init__(self, path: Path) -> None:
        self._fd: int | None = None
        if fcntl is not None:
            try:
                path.parent.mkdir(exist_ok=True)
                self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError:
                self._fd = None

    def enter(self, *, wait: bool = True) -> bool:
        """Take the lock; whether it was taken, which is certain with ``wait``."""
        if self._fd is not None:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:  # a file system without locks
                return True
        return True

    def leave(self) -> None:
        """Let the next one in."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def close(self) -> None:
        """Let go of the lock file. In a forked child this leaves the parent's lock alone only if nobody holds it;
        the parent unlocks explicitly, so the child merely closes its copy.
        """
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
