"""What a soak found, as JSON, as a page and as a picture."""

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from soak.fleet import Fault
from soak.proof import Proof
from soak.sentences import SENTENCES

__all__ = ["Report", "percentile"]

_WIDTH, _LEFT, _HEIGHT = 900, 60, 150
_COLOURS = ("#2f6f4f", "#b0733a", "#7a6ba8", "#3f6fb0", "#a04a4a", "#5f7f2f")
_STYLE = """text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:13px}
.axis{stroke:#9aa0a6;stroke-width:1}.fault{stroke:#c0392b;stroke-width:1;opacity:.35}polyline{fill:none;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"""


def percentile(values: list[float], share: float) -> float | None:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


@dataclass(slots=True)
class Report:
    """One soak."""

    command: str
    store: str
    machine: str
    seconds: float
    samples: list[dict[str, Any]] = field(default_factory=list)
    """``at`` (seconds), ``written`` (bytes of ledger), ``rss`` (MB by process)."""
    faults: list[Fault] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    proof: Proof | None = None

    @property
    def holds(self) -> bool:
        """Whether every sentence of the proof holds, and nothing unexpected happened."""
        return self.proof is not None and self.proof.holds and not self.unexpected

    def write(self, folder: Path) -> list[Path]:
        """Write all three; the files."""
        folder.mkdir(parents=True, exist_ok=True)
        base = folder / f"soak-{self.store}"
        texts = {
            ".json": json.dumps(self.as_document(), indent=1) + "\n",
            ".md": self.as_page(),
            ".svg": self.as_picture(),
        }
        for suffix, text in texts.items():
            base.with_suffix(suffix).write_text(text, encoding="utf-8")
        return [base.with_suffix(suffix) for suffix in texts]

    def recoveries(self) -> dict[str, dict[str, Any]]:
        """By kind of fault: how many, and how long until all was well."""
        by_kind: defaultdict[str, list[float]] = defaultdict(list)
        for fault in self.faults:
            by_kind[fault.kind] += [] if fault.seconds is None else [fault.seconds]
        return {
            kind: {"count": len(seconds), "p50": percentile(seconds, 0.5), "p99": percentile(seconds, 0.99)}
            for kind, seconds in sorted(by_kind.items())
        }

    def as_document(self) -> dict[str, Any]:
        """For programs."""
        assert self.proof is not None
        return {
            "command": self.command,
            "store": self.store,
            "machine": self.machine,
            "seconds": round(self.seconds, 1),
            "holds": self.holds,
            "figures": self.proof.figures,
            "proof": self.proof.counts,
            "violations": self.proof.violations,
            "unexpected": self.unexpected,
            "recovery": self.recoveries(),
            "faults": [
                [fault.kind, round(fault.at, 1), fault.seconds and round(fault.seconds, 2)] for fault in self.faults
            ],
            "samples": self.samples,
        }

    def as_page(self) -> str:
        """For people."""
        assert self.proof is not None
        lines = [
            f"`{self.command}` on {self.machine}: {self.seconds / 60:.1f} minutes, {len(self.faults)} faults, "
            f"{'every sentence holds' if self.holds else 'NOT everything holds'}.",
            "",
            "| counted | |",
            "|---|---:|",
            *(f"| {name} | {count:,} |" for name, count in self.proof.figures.items()),
            "",
            "| proven | violations |",
            "|---|---:|",
            *(f"| {SENTENCES[name].text} | {count:,} |" for name, count in self.proof.counts.items()),
            "",
            "| fault | times | until all was well, p50 | p99 |",
            "|---|---:|---:|---:|",
            *(
                f"| {kind} | {each['count']} | {_seconds(each['p50'])} | {_seconds(each['p99'])} |"
                for kind, each in self.recoveries().items()
            ),
            "",
            "Of a killed or suspended worker: until nothing that it held is still its. Of an outage, and where all",
            "were suspended: from its end until a job ended.",
            *(["", "What nobody meant to happen:", ""] if self.unexpected else []),
            *(f"* {escape(what)}" for what in self.unexpected),
        ]
        return "\n".join(lines) + "\n"

    def as_picture(self) -> str:
        """Work and memory over time, the faults as red lines."""
        longest = max(1.0, *(sample["at"] for sample in self.samples)) if self.samples else 1.0
        rates = [
            (late["at"], max(0.0, late["ended"] - early["ended"]) / max(0.1, late["at"] - early["at"]))
            for early, late in zip(self.samples, self.samples[5:], strict=False)
        ]
        memory: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for sample in self.samples:
            for name, size in sample["rss"].items():
                memory[name].append((sample["at"], size))
        faults = [fault.at for fault in self.faults]
        panels = [
            _panel("Jobs that ended, a second; faults in red", {"jobs": rates}, longest, faults, 0),
            _panel("Resident memory, MB", dict(memory), longest, faults, _HEIGHT + 60),
        ]
        body = "\n".join(panels)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {2 * _HEIGHT + 120}" role="img" '
            f'aria-label="A soak on {escape(self.store)}: jobs a second and memory over time">\n'
            f"<style>{_STYLE}</style>\n{body}\n</svg>\n"
        )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _panel(
    title: str, series: dict[str, list[tuple[float, float]]], longest: float, faults: list[float], top: int
) -> str:
    highest = max([1.0, *(value for points in series.values() for _, value in points)])
    across, up = (_WIDTH - _LEFT - 10) / longest, _HEIGHT / highest
    bottom = top + 25 + _HEIGHT

    def x(at: float) -> str:
        return f"{_LEFT + at * across:.1f}"

    parts = [
        f'<text class="title" x="0" y="{top + 14}">{escape(title)}</text>',
        f'<text x="{_LEFT - 6}" y="{top + 34}" text-anchor="end">{highest:,.0f}</text>',
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{_WIDTH - 10}" y="{bottom + 16}" text-anchor="end">{longest / 60:.1f} minutes</text>',
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{bottom}" y2="{bottom}"/>',
    ]
    parts += [f'<line class="fault" x1="{x(at)}" x2="{x(at)}" y1="{top + 25}" y2="{bottom}"/>' for at in faults]
    for number, (name, points) in enumerate(sorted(series.items())):
        path = " ".join(f"{x(at)},{bottom - value * up:.1f}" for at, value in points)
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(f'<polyline points="{path}" stroke="{colour}"><title>{escape(name)}</title></polyline>')
        if len(series) > 1:
            left = _LEFT + number * 110
            parts.append(f'<text x="{left}" y="{bottom + 16}" style="fill:{colour}">{escape(name)}</text>')
    return "\n".join(parts)
