"""Figures made from what the store keeps: counters by slots of time, percentiles and histograms of samples."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from turnspit.records import FAILED_OUTCOMES, CounterRecord, RunSample
from turnspit.web.models import Bar, Latency, Series

__all__ = ["Tally", "by_name", "by_slot", "empty_tally", "histogram", "latency", "tally"]

_SECOND = 1_000_000
_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0, 86400.0)
_THROUGHPUT_MINUTES = 5
_ERROR_MINUTES = 15


@dataclass(slots=True)
class Tally:
    """The attempts of something (a queue, a task, everything) over the last slots of time."""

    step: int
    completed: list[int]
    failed: list[int]
    by_outcome: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    run_time: int = 0

    def add(self, slot: int, record: CounterRecord) -> None:
        """Count the attempts of a record in its slot."""
        self.by_outcome[record.outcome] += record.count
        if record.outcome == "completed":
            self.completed[slot] += record.count
            self.run_time += record.run_time
        elif record.outcome in FAILED_OUTCOMES:
            self.failed[slot] += record.count

    @property
    def series(self) -> Series:
        """Slot by slot."""
        return Series(step=self.step, completed=self.completed, failed=self.failed)

    @property
    def completed_per_minute(self) -> float:
        """Over the last five whole minutes. The current minute is not over and would look like a drop: it only counts
        if nothing completed before it.
        """
        whole = self.completed[-1 - _THROUGHPUT_MINUTES // self.step : -1]
        return sum(whole) / (len(whole) * self.step) if any(whole) else self.completed[-1] / self.step

    @property
    def error_rate(self) -> float | None:
        """The share of the last attempts that failed; ``None`` where there were none."""
        slots = max(1, _ERROR_MINUTES // self.step)
        return _share(sum(self.failed[-slots:]), sum(self.completed[-slots:]))

    @property
    def error_rate_of_all(self) -> float | None:
        """The same over the whole span."""
        return _share(sum(self.failed), sum(self.completed))

    @property
    def mean_seconds(self) -> float | None:
        """Mean run time of the attempts that completed."""
        count = self.by_outcome["completed"]
        return self.run_time / count / _SECOND if count else None


def tally(
    records: Iterable[CounterRecord], now: int, span: int, step: int, key: Callable[[CounterRecord], str]
) -> dict[str, Tally]:
    """The records by their key, in slots of ``step`` minutes that end with the one of the moment ``now``."""
    slots, last = span // step, now // (60 * _SECOND) // step
    found: dict[str, Tally] = {}
    for record in records:
        slot = slots - 1 - (last - record.minute // step)
        if 0 <= slot < slots:
            each = found.setdefault(key(record), empty_tally(span, step))
            each.add(slot, record)
    return found


def empty_tally(span: int, step: int) -> Tally:
    """The tally of something that did nothing."""
    return Tally(step, [0] * (span // step), [0] * (span // step))


def latency(durations: Iterable[int]) -> Latency:
    """Percentiles of durations in microseconds."""
    ordered = sorted(durations)
    if not ordered:
        return Latency(sample=0, p50=None, p95=None, p99=None)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] / _SECOND for share in (0.5, 0.95, 0.99))
    return Latency(sample=len(ordered), p50=p50, p95=p95, p99=p99)


def histogram(durations: Sequence[int]) -> list[Bar]:
    """How many durations (microseconds) lie below each bound (seconds) and above the one before."""
    counts = [0] * len(_BOUNDS)
    for duration in durations:
        counts[min(bisect_left(_BOUNDS, duration / _SECOND), len(_BOUNDS) - 1)] += 1
    used = [place for place, count in enumerate(counts) if count]
    if not used:
        return []
    bars = [Bar(at_most=bound, count=count) for bound, count in zip(_BOUNDS, counts, strict=True)]
    return bars[used[0] : used[-1] + 1]


def by_name(sample: Iterable[RunSample], name: Callable[[RunSample], str]) -> defaultdict[str, list[RunSample]]:
    """The sample by queues or by tasks: there may be thousands of them."""
    found: defaultdict[str, list[RunSample]] = defaultdict(list)
    for each in sample:
        found[name(each)].append(each)
    return found


def by_slot(sample: Iterable[RunSample], begins: Sequence[int]) -> list[list[RunSample]]:
    """The sample by the slots that begin at these moments."""
    found: dict[int, list[RunSample]] = {moment: [] for moment in begins}
    for each in sample:
        if each.at in found:
            found[each.at].append(each)
    return [found[moment] for moment in begins]


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
