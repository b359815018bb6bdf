"""The flood test: how long quiet tenants wait while another one floods their queue.

A real store claims on a clock of its own, so that the figures are the same on every machine: four slots, jobs of 10 ms,
three tenants that enqueue ten jobs every fifth of a second, and one that enqueues a thousand at once.

``python -m benchmarks.fairness`` draws ``docs/images/fairness.svg``.
"""

import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from turnspit.contract import Engine
from turnspit.engines import open_engine
from turnspit.records import ClaimRequest, Completion, Lane, LimitedRequest, NewJob, NewWorker

__all__ = ["DURATION", "Clock", "Wait", "draw", "flood", "measured", "summary", "worst"]

DURATION = 10_000
"""Microseconds that a job runs."""
_STEP = 5000
_SLOTS, _QUIET, _BURST, _EVERY, _LONG = 4, 3, 10, 200_000, 1_600_000
_FLOOD, _FLOOD_AT = 1000, 300_000
_BEGIN = 1_900_000_000_000_000
_TASK = frozenset({"import_rows"})
_PICTURE = Path(__file__).parents[1] / "docs" / "images" / "fairness.svg"


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = _BEGIN

    def now(self) -> int:
        """Microseconds since 1970."""
        return self.moment


class Wait(NamedTuple):
    """What one job of a quiet tenant waited, in microseconds, and when it was enqueued."""

    enqueued_at: int
    waited: int


def flood(engine: Engine, clock: Clock, *, with_flood: bool, fair: bool) -> list[Wait]:
    """Let the tenants enqueue and one worker claim; what the jobs of the quiet ones waited."""
    worker = engine.write(engine.register_worker, NewWorker("host", 1, "", None, _TASK, _SLOTS, 10**12))
    running: list[tuple[int, int, int]] = []
    quiet: dict[int, int] = {}
    waits: list[Wait] = []
    while clock.moment < _BEGIN + _LONG or len(waits) < len(quiet):
        since = clock.moment - _BEGIN
        if since % _EVERY == 0 and since < _LONG:
            for tenant in range(_QUIET):
                quiet.update(dict.fromkeys(_enqueue(engine, tenant, _BURST, fair=fair), clock.moment))
        if with_flood and since == _FLOOD_AT:
            _enqueue(engine, _QUIET, _FLOOD, fair=fair)
        ended = [Completion(job, fence) for job, fence, until in running if until <= clock.moment]
        if ended:
            engine.write(engine.finish_jobs, ended)
        running = [each for each in running if each[2] > clock.moment]
        free = _SLOTS - len(running)
        for job, fence in _claim(engine, worker, free, fair=fair) if free else ():
            running.append((job, fence, clock.moment + DURATION))
            if job in quiet:
                waits.append(Wait(quiet[job] - _BEGIN, clock.moment - quiet[job]))
        clock.moment += _STEP
    return waits


def _enqueue(engine: Engine, tenant: int, count: int, *, fair: bool) -> list[int]:
    lane = Lane("default", "import_rows", (), f"import_rows [{tenant}]").to_text() if fair else None
    return engine.write(engine.insert_jobs, [NewJob("import_rows", "default", "{}", lane=lane)] * count)


def _claim(engine: Engine, worker: int, free: int, *, fair: bool) -> Iterator[tuple[int, int]]:
    if fair:
        claims = engine.write(engine.claim_limited_jobs, LimitedRequest(worker, free, _TASK)).claims
    else:
        claims = tuple(engine.write(engine.claim_jobs, ClaimRequest(worker, free, _TASK)))
    return ((claim.id, claim.fence) for claim in claims)


def worst(waits: list[Wait]) -> int:
    """The longest wait."""
    return max(wait.waited for wait in waits)


def summary(waits: list[Wait]) -> str:
    """Mean and worst wait, as the picture shows them."""
    return f"mean {mean(wait.waited for wait in waits) / 1000:,.0f} ms, worst {worst(waits) / 1000:,.0f} ms"


def measured(*, with_flood: bool, fair: bool) -> list[Wait]:
    """``flood`` on a new SQLite file."""
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="turnspit-") as folder:
        engine = open_engine(f"sqlite:///{folder}/jobs.db", durability="relaxed")
        engine.clock = clock
        try:
            return flood(engine, clock, with_flood=with_flood, fair=fair)
        finally:
            engine.close()


_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 340, 62, 34, 190, 44
_LEAST, _MOST = 2_500, 4_000_000
_STYLE = """text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.note{fill:#59636e;font-size:12px}
.grid{stroke:#8b949e55}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}}"""
_COLOURS = {"alone": "#7a6ba8", "beside the flood, fair_key": "#2f6f4f", "beside the flood, without": "#b0733a"}


def draw(runs: dict[str, list[Wait]]) -> str:
    """A picture of waiting times, a dot a job, as SVG."""

    def x(moment: float) -> float:
        return _LEFT + moment / _LONG * (_WIDTH - _LEFT - _RIGHT)

    def y(waited: float) -> float:
        share = math.log(max(waited, _LEAST) / _LEAST) / math.log(_MOST / _LEAST)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = ['<text class="title" x="0" y="16">What a quiet tenant\'s job waits, by when it was enqueued</text>']
    for waited, label in ((5_000, "5 ms"), (50_000, "50 ms"), (500_000, "0.5 s"), (2_500_000, "2.5 s")):
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(waited):.1f}" y2="{y(waited):.1f}"/>'
            f'<text class="note" x="{_LEFT - 8}" y="{y(waited) + 4:.1f}" text-anchor="end">{label}</text>'
        )
    parts.append(
        f'<text class="note" x="{x(_FLOOD_AT):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"a thousand jobs of one tenant</text>"
        f'<line class="grid" x1="{x(_FLOOD_AT):.1f}" x2="{x(_FLOOD_AT):.1f}" y1="{_TOP}" '
        f'y2="{_HEIGHT - _BOTTOM + 16}"/>'
    )
    for place, (name, waits) in enumerate(runs.items()):
        # The jobs of a burst stand beside each other, and the runs too.
        marks = [
            f'<circle cx="{x(wait.enqueued_at) + number % 30 * 0.8 + place * 3:.1f}" cy="{y(wait.waited):.1f}" r="2"/>'
            for number, wait in enumerate(sorted(waits))
        ]
        parts.append(f'<g fill="{_COLOURS[name]}" fill-opacity="0.75">{"".join(marks)}</g>')
        top, left = _TOP + 20 + place * 42, _WIDTH - _RIGHT + 16
        parts.append(
            f'<rect x="{left}" y="{top - 10}" width="10" height="10" rx="2" fill="{_COLOURS[name]}"/>'
            f'<text x="{left + 16}" y="{top}">{name}</text>'
            f'<text class="note" x="{left + 16}" y="{top + 16}">{summary(waits)}</text>'
        )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 60} {_HEIGHT}" role="img" '
        f'aria-label="Waiting times of quiet tenants, alone and beside a flood">\n'
        f"<style>{_STYLE}</style>\n{body}\n</svg>\n"
    )


def main() -> None:
    """Measure the three runs and draw them."""
    alone, fair, unfair = _COLOURS
    runs = {
        alone: measured(with_flood=False, fair=True),
        fair: measured(with_flood=True, fair=True),
        unfair: measured(with_flood=True, fair=False),
    }
    _PICTURE.write_text(draw(runs), encoding="utf-8")
    for name, waits in runs.items():
        sys.stdout.write(f"{name}: {summary(waits)}\n")


if __name__ == "__main__":
    main()
