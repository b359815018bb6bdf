"""The counts of several processes, added up by their supervisor (docs/decisions/0040)."""

import threading
from collections.abc import Sequence

from turnspit.telemetry.metrics import BY_NAME
from turnspit.telemetry.recorder import Key, Series

__all__ = ["Totals"]


class Totals:
    """The counts that live processes reported, and those of processes that have ended. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: dict[Key, list[float]] = {}
        self._live: dict[int, dict[Key, Sequence[float]]] = {}

    def heard(self, process: int, counts: Series) -> None:
        """A process reports its counts so far; those that it does not name are unchanged."""
        with self._lock:
            self._live.setdefault(process, {}).update(counts)

    def ended(self, process: int) -> None:
        """A process has ended: its counters stay in the sum, and its gauges (its slots) go."""
        with self._lock:
            counts = self._live.pop(process, {})
            _add(self._ended, {key: values for key, values in counts.items() if BY_NAME[key[0]].kind != "gauge"})

    @property
    def series(self) -> Series:
        """The counts of all processes, added up."""
        found: dict[Key, list[float]] = {}
        with self._lock:
            _add(found, self._ended)
            for counts in self._live.values():
                _add(found, counts)
        return found


def _add(found: dict[Key, list[float]], counts: Series) -> None:
    for key, values in counts.items():
        before = found.get(key)
        found[key] = list(values) if before is None else [a + b for a, b in zip(before, values, strict=True)]
