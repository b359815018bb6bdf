"""What really happened, written beside the store: a file per process, a line per event, written when ``write`` returns.

A written line survives ``kill -9``, because the kernel has it. Each line is ``what job fence moment detail``; moments
are microseconds by this machine's clock, which the stores on it use too.
"""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["Entry", "Ledger", "entries"]

Entry = tuple[str, int, int, int, str]


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Ledger:
    """The file of this process. From any thread: one ``write`` appends whole lines."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / f"{os.getpid()}.ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, what: str, job: int = 0, fence: int = 0, detail: str = "-") -> None:
        """One event."""
        os.write(self._file, f"{what} {job} {fence} {now()} {detail}\n".encode())

    def write_many(self, what: str, jobs: Iterable[tuple[int, int, str]]) -> None:
        """Many events of one moment: ``(job, fence, detail)`` each."""
        moment = now()
        lines = "".join(f"{what} {job} {fence} {moment} {detail}\n" for job, fence, detail in jobs)
        os.write(self._file, lines.encode())


def entries(folder: Path) -> Iterator[Entry]:
    """Every whole line of every process."""
    for path in sorted(folder.glob("*.ledger")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    what, job, fence, moment, detail = line.rstrip("\n").split(" ", 4)
                    yield what, int(job), int(fence), int(moment), detail
