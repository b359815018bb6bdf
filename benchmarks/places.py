"""Where the stores of a run are, and on what machine."""

import os
import platform
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place", "choose_place", "describe_machine"]

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
_BESIDE = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Place:
    """A folder and the file system that it is on."""

    folder: Path
    filesystem: str

    @property
    def is_durable(self) -> bool:
        """Whether a commit there reaches a disk."""
        return self.filesystem not in _IN_MEMORY


def choose_place(wanted: Path | None) -> Place:
    """The folder asked for; else ``/tmp`` if that is on a disk; else the folder beside the repository."""
    if wanted is not None:
        return _look(wanted)
    temporary = _look(Path("/tmp"))
    return temporary if temporary.is_durable and temporary.filesystem != "unknown" else _look(_BESIDE)


def _look(folder: Path) -> Place:
    folder = folder.resolve()
    best, kind = "", "unknown"
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return Place(folder, kind)
    for line in mounts:
        _, point, found, *_ = line.split()
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return Place(folder, kind)


def describe_machine() -> dict[str, str]:
    """What the figures depend on."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": processor,
        "cores": str(cores),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
    }
