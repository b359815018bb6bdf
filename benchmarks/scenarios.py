"""Turnspit itself under what slows queues down: a drain beside old rows, a held snapshot, jobs of others, many queues.

Each is followed by a clean drain, so that the two can be divided: these machines' speed changes within minutes.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measurements import MEASURE, Bench, Figures, drain, stop, wait_drained
from benchmarks.processes import Agent
from benchmarks.stores.base import Store

__all__ = ["SCENARIOS"]

_DAY = 86_400_000_000
_QUEUES = 1000
_KEYS = 10_000
_PREFIX = {"postgres": "turnspit.", "sqlite": "turnspit_"}
_SAMPLE = 0.2


@dataclass(slots=True)
class LoadedStore:
    """A store with jobs to drain, to which a scenario adds its burden."""

    bench: Bench
    store: Store

    @property
    def prefix(self) -> str:
        """The prefix of the names of Turnspit's tables."""
        return _PREFIX[self.bench.system.store]

    def copy(self, table: str, count: int, **changes: str) -> None:
        """Add ``count`` copies of a row, numbered downwards from -1 so that the jobs to drain keep the ids above 0."""
        table = self.prefix + table
        columns = self.store.columns(table)
        lowest = self.store.number(f"SELECT min(id) FROM {table} WHERE id < 0")
        values = {"id": f"{lowest} - n"} | changes
        chosen = ", ".join(values.get(name, f"one.{name}") for name in columns)
        self.store.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
            f"INSERT INTO {table} ({', '.join(columns)}) "
            f"SELECT {chosen} FROM (SELECT * FROM {table} WHERE id > 0 LIMIT 1) AS one, numbers"
        )

    def change(self, **values: str) -> None:
        """Change the jobs to drain."""
        assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
        self.store.execute(f"UPDATE {self.prefix}jobs SET {assignments} WHERE id > 0")


@dataclass(slots=True)
class Progress:
    """How far a drain was when, and how much memory its worker had."""

    loaded: LoadedStore
    moments: list[tuple[float, int, float]] = field(default_factory=list)

    def look(self, agents: Sequence[Agent]) -> None:
        """Called often during a drain."""
        now = time.perf_counter()
        if not self.moments or now - self.moments[-1][0] >= _SAMPLE:
            done = self.loaded.store.number(f"SELECT sum(count) FROM {self.loaded.prefix}counters")
            self.moments.append((now, done, agents[0].memory()))

    def figures(self) -> Figures:
        """The rate of the last third over that of the first, and memory after the first third and at the end."""
        third = len(self.moments) // 3
        if not third:
            return {}
        first, begun, ended, last = (self.moments[place] for place in (0, third, -1 - third, -1))
        rate_first = (begun[1] - first[1]) / (begun[0] - first[0])
        rate_last = (last[1] - ended[1]) / (last[0] - ended[0])
        figures = {"memory_third": begun[2], "memory_end": last[2]}
        return figures | ({"flat": rate_last / rate_first} if rate_first else {})


def _scenario(
    burden: Callable[[LoadedStore], None],
    size: str = "drain",
    beside: Callable[[LoadedStore], AbstractContextManager[None]] = lambda _: nullcontext(),
    **options: Any,
) -> Callable[[Bench], Figures]:
    def measure(bench: Bench) -> Figures:
        count = getattr(bench.sizes, size)
        with bench.kind.new_store() as store:
            with bench.agent(store) as agent:
                agent.ask("prepare")
                agent.ask("open")
                _complete_some(bench, store, agent)
                agent.ask("fill", count=count)
            loaded = LoadedStore(bench, store)
            burden(loaded)
            store.settle()
            progress = Progress(loaded)
            with beside(loaded):
                figures = drain(bench, store, count, 1, progress.look, **options)
        if bench.sizes.follow_up:
            figures["clean"] = MEASURE["drain_1"](bench)["jobs_per_second"]
        return figures | progress.figures()

    return measure


def _complete_some(bench: Bench, store: Store, agent: Agent) -> None:
    """So that there is a row of history to be copied."""
    with bench.agent(store) as worker:
        worker.ask("open")
        worker.tell("work")
        agent.ask("paced", first=0, count=5, rate=1000)
        wait_drained(bench.system, store, [worker])
        stop([worker])


def _old_rows(loaded: LoadedStore) -> None:
    now = time.time_ns() // 1000
    sizes = loaded.bench.sizes
    loaded.copy("history", sizes.history, finished_at=f"{now} - n % {_DAY // 24}")
    loaded.copy("jobs", sizes.scheduled, state="'scheduled'", run_at=f"{now + _DAY} + n")
    loaded.copy("jobs", sizes.dead, state="'dead'", finished_at=str(now), reason="'an error'", fingerprint="'one'")


def _other_queues(loaded: LoadedStore) -> None:
    loaded.copy("jobs", loaded.bench.sizes.foreign, queue="'other'")


def _unknown_tasks(loaded: LoadedStore) -> None:
    loaded.copy("jobs", loaded.bench.sizes.foreign, task="'nobody_knows_it'")


def _limited(loaded: LoadedStore) -> None:
    """Each of many keys has jobs that its limit lets through in an hour."""
    rule = f"""["deliver rate","deliver rate [' || n % {_KEYS} || ']",1,3600000000,null]"""
    lane = f"""'["default","deliver",[{rule}],null]'"""
    loaded.copy("jobs", loaded.bench.sizes.limited, state="'held'", lane=lane, is_listed="1")
    later = time.time_ns() // 1000 + 3_600_000_000
    loaded.store.execute(
        f"INSERT INTO {loaded.prefix}lanes (lane, queue, task, next_at) "
        f"SELECT DISTINCT lane, queue, task, {later} FROM {loaded.prefix}jobs WHERE lane IS NOT NULL"
    )


def _many_queues(loaded: LoadedStore) -> None:
    loaded.change(queue=f"'queue' || (id % {_QUEUES})")


def _in_threads(loaded: LoadedStore) -> None:
    loaded.change(task="'deliver_in_thread'")


def _nothing(loaded: LoadedStore) -> None:
    """No burden: the scenario differs only in size, or in what goes on beside it."""


SCENARIOS: dict[str, Callable[[Bench], Figures]] = {
    "old_rows": _scenario(_old_rows),
    "snapshot": _scenario(_nothing, size="held", beside=lambda loaded: loaded.store.snapshot()),
    "other_queues": _scenario(_other_queues, queues=["default"]),
    "unknown_tasks": _scenario(_unknown_tasks),
    "limited": _scenario(_limited),
    "many_queues": _scenario(_many_queues, queues=[f"queue{number}" for number in range(_QUEUES)]),
    "in_threads": _scenario(_in_threads),
    "long": _scenario(_nothing, size="long"),
}
