"""What workflows cost, beside BullMQ's flows: to store them, a hop from a job to the one that waits for it, fans.

python -m benchmarks.workflows                       # SQLite, PostgreSQL and BullMQ on Redis, each on a private store
python -m benchmarks.workflows --only sqlite postgres --hops 200 --jobs 1000
python -m benchmarks.workflows --url postgresql://...                    # Turnspit alone, on an empty store of yours
python -m benchmarks.workflows --only sqlite postgres --flows 0 --hops 0 --jobs 1000000       # and its memory

Each system is one process that stores and runs, with one worker of 50 slots. A system that is not installed is reported
and left out.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.environments import Environment, Here, Node, NotInstalled
from benchmarks.processes import Agent, AgentFailed
from benchmarks.stores.base import Kind
from benchmarks.stores.postgres import Postgres
from benchmarks.stores.redis import Redis
from benchmarks.stores.sqlite import Sqlite

LONGEST = 7200.0
MISSING = "-"


@dataclass(frozen=True)
class System:
    """Turnspit on an engine, or a peer."""

    title: str
    program: str
    environment: Environment
    make_kind: Callable[[Path], Kind]
    is_tree: bool = False
    """Whether a job can have one dependant only, so that nothing can fan out."""


SYSTEMS = {
    "sqlite": System("Turnspit, SQLite", "turnspit_flows", Here(), Sqlite),
    "postgres": System("Turnspit, PostgreSQL", "turnspit_flows", Here(), lambda folder: Postgres()),
    "bullmq": System(
        "BullMQ, Redis", "bullmq_flows", Node(("bullmq@6.7.0", "ioredis@6.0.0")), lambda folder: Redis(), is_tree=True
    ),
}


@dataclass
class Column:
    """What was measured of one system."""

    title: str
    figures: dict[str, str] = field(default_factory=dict)


def measure(agent: Agent, options: argparse.Namespace, column: Column, *, is_tree: bool) -> None:
    """Measure everything of one system.

    :raises AgentFailed: at the first part that fails; the figures before it stay in ``column``.
    """
    figures = column.figures
    agent.ask("prepare")
    agent.ask("open")
    before = agent.peak_memory()
    if options.flows:
        answer = agent.ask("flows", count=options.flows)
        figures["workflows of four jobs, stored one by one"] = f"{options.flows / answer['seconds']:,.0f} a second"
    if options.hops > 1:
        answer = agent.ask("chain", length=options.hops)
        hops = sorted((second - first) / 1e6 for first, second in pairwise(sorted(answer["starts"])))
        figures["latency of a hop, p50"] = f"{hops[len(hops) // 2]:.2f} ms"
        figures["latency of a hop, p99"] = f"{hops[len(hops) * 99 // 100]:.2f} ms"
        _tell(figures, f"a chain of {options.hops:,}", answer)
    for width in options.jobs:
        _tell(figures, f"{width:,} and one that waits for all", agent.ask("fan", width=width, first=0))
    if options.jobs and not is_tree:
        width = max(options.jobs)
        _tell(figures, f"one, {width:,} behind it, one behind these", agent.ask("fan", width=width, first=1))
    figures["memory of the process: at first / at most"] = f"{before:,.0f} / {agent.peak_memory():,.0f} MB"


def _tell(figures: dict[str, str], what: str, answer: dict[str, Any]) -> None:
    figures[f"{what}: stored / worked off"] = f"{answer['stored']:.1f} s / {answer['ran']:.1f} s"


def table(columns: Sequence[Column]) -> str:
    """Side by side, as Markdown."""
    rows = list(dict.fromkeys(name for column in columns for name in column.figures))
    lines = ["| | " + " | ".join(column.title for column in columns) + " |", "|---|" + "---:|" * len(columns)]
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(column.figures.get(row, MISSING) for column in columns) + " |")
    return "\n".join(lines)


def measure_system(system: System, options: argparse.Namespace, say: Callable[[str], None]) -> Column:
    """Measure one system on a store of its own; if it is not installed, or fails, say so."""
    column = Column(system.title)
    kind: Kind | None = None
    with tempfile.TemporaryDirectory(prefix="turnspit-") as folder:
        try:
            command = system.environment.command(system.program)
            if options.url:
                say(f"{system.title}: {options.url.partition(':')[0]}")
                with Agent(system.title, command, options.url, LONGEST) as agent:
                    measure(agent, options, column, is_tree=system.is_tree)
                return column
            kind = system.make_kind(Path(folder))
            say(f"{system.title}: {kind.conditions}")
            with kind.new_store() as store, Agent(system.title, command, store.url, LONGEST) as agent:
                measure(agent, options, column, is_tree=system.is_tree)
        except (NotInstalled, AgentFailed, OSError) as error:
            say(f"{system.title}: {error}")
            column.title += " (failed)" if column.figures else " (not there)"
        finally:
            if kind is not None:
                kind.close()
    return column


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workflows", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--url", help="an empty store, for Turnspit alone; default: private stores for all")
    parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), help="these alone")
    parser.add_argument("--flows", type=int, default=500, help="how many workflows of four jobs (default: 500)")
    parser.add_argument("--hops", type=int, default=1000, help="how long the chain is (default: 1,000)")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 100_000], help="how wide the fans are")
    options = parser.parse_args(argv)
    named = ["sqlite"] if options.url else options.only or list(SYSTEMS)

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    say(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    systems = [SYSTEMS[name] for name in named]
    if options.url:
        systems = [System("Turnspit", "turnspit_flows", Here(), Sqlite)]
    columns = [measure_system(system, options, say) for system in systems]
    say(f"load {os.getloadavg()[0]:.1f}\n\n{table(columns)}")
    return 1 if any(column.title.endswith("(failed)") for column in columns) else 0


if __name__ == "__main__":
    sys.exit(main())
