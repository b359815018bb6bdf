"""Finds which process holds a lock on a file. Only Linux tells, in ``/proc/locks``."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Holder",
    "age_of_process",
    "describe_lost_log",
    "explain_lost_log",
    "find_holder",
    "holds_write_lock",
    "turnstile_of",
]

_WAL_WRITE_LOCK = 120
"""The byte of the ``-shm`` file that a writer in WAL mode locks."""
_RESERVED_LOCK = 0x40000001
"""The byte of the file itself that a writer locks in other modes."""
_STOPPED = "Tt"
"""States of a stopped process in ``/proc/PID/stat``."""


class Holder(NamedTuple):
    """A process that keeps others from writing."""

    pid: int
    name: str
    is_stopped: bool
    """By SIGSTOP, Ctrl-Z or a debugger."""

    def __str__(self) -> str:
        held = f"{self.name}, process {self.pid}, holds its write lock"
        if self.is_stopped:
            return f"{held} and is stopped: `kill -CONT {self.pid}` lets it go on, or end it"
        if self.pid == os.getpid():
            return (
                "this very process holds its write lock: a transaction of the application's, which is to end or to be "
                "passed as tx=, or a commit that the disk keeps waiting"
            )
        return f"{held}: does it keep a transaction open?"


def turnstile_of(path: Path) -> Path:
    """The lock file of a store's turnstile."""
    return Path(f"{path}-turnspit") / "turnstile"


def find_holder(path: Path) -> Holder | None:
    """Who keeps others from writing to a store: who holds SQLite's own lock, else another process inside its turn."""
    for pid in _with_write_lock(path):
        return _describe(pid)
    for kind, pid, _, _ in _locks_on(turnstile_of(path)):
        if kind == "FLOCK" and pid != os.getpid():
            return _describe(pid)
    return None


def holds_write_lock(path: Path, pid: int) -> bool:
    """Whether a connection of this process holds the write lock (Linux; elsewhere always ``False``)."""
    return pid in _with_write_lock(path)


def explain_lost_log(path: Path) -> str | None:
    """What to do if somebody deleted the write-ahead log while processes had it open (Linux; elsewhere ``None``).

    Only names are looked at: to open and close a file of the store would end the locks that this process has on it.
    """
    deleted = f"{os.path.realpath(path)}-wal (deleted)"
    processes = os.listdir("/proc") if os.path.isdir("/proc") else []
    pids = sorted(int(name) for name in processes if name.isdecimal() and _has_open(name, deleted))
    if not pids:
        return None
    return describe_lost_log(path, f"process{'' if len(pids) == 1 else 'es'} {', '.join(map(str, pids))}")


def describe_lost_log(path: Path, who: str) -> str:
    """What to do if somebody deleted the write-ahead log.

    :param who: has it open.
    """
    return (
        f"has lost its write-ahead log: somebody deleted {path}-wal while {who} had it open. Stop every process that "
        "uses the store, in order (SIGTERM, not SIGKILL, lest the newest jobs be lost): the last one writes what the "
        f"log holds into {path}, and all is well again. Leave {path}-shm where it is"
    )


def age_of_process(pid: int) -> float | None:
    """Seconds since this process began (Linux; elsewhere, and where it has ended, ``None``)."""
    try:
        began = float(Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(") ", 1)[1].split()[19])
        return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]) - began / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _has_open(pid: str, name: str) -> bool:
    try:
        with os.scandir(f"/proc/{pid}/fd") as files:
            return any(_target(file.path) == name for file in files)
    except OSError:  # it has ended, or is somebody else's
        return False


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _with_write_lock(path: Path) -> Iterator[int]:
    for file, byte in (Path(f"{path}-shm"), _WAL_WRITE_LOCK), (path, _RESERVED_LOCK):
        for kind, pid, first, last in _locks_on(file):
            if kind == "POSIX" and last.isdecimal() and int(first) <= byte <= int(last):
                yield pid


def _locks_on(path: Path) -> Iterator[tuple[str, int, str, str]]:
    """Kind, process id, first and last byte of each exclusive lock on a file."""
    try:
        inode = path.stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return
    for line in locks.splitlines():
        fields = line.split()  # the line of a process that still waits for a lock has nine
        if len(fields) == 8 and fields[3] == "WRITE" and fields[5].endswith(f":{inode}"):
            yield fields[1], int(fields[4]), fields[6], fields[7]


def _describe(pid: int) -> Holder | None:
    try:
        name, state = Path(f"/proc/{pid}/stat").read_text(errors="replace").partition(" (")[2].rsplit(") ", 1)
    except (OSError, ValueError):  # the process has ended, or is not visible from here
        return None
    return Holder(pid, name, state[0] in _STOPPED)
