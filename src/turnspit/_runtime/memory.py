"""How much memory a process has."""

import os
from pathlib import Path

__all__ = ["can_measure_memory", "memory_of"]


def can_measure_memory() -> bool:
    """Whether this system says how much memory a process has."""
    return memory_of(os.getpid()) is not None


def memory_of(pid: int) -> int | None:
    """A process's resident memory in bytes; ``None`` if it is gone or nobody says."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return _memory_by_psutil(pid)
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _memory_by_psutil(pid: int) -> int | None:
    try:
        import psutil  # noqa: PLC0415  (only where there is no /proc, and if it is installed)
    except ImportError:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
