"""One function a measurement: on a fresh store, a few agents, a few figures."""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.processes import Agent, AgentFailed
from benchmarks.stores.base import Kind, Store
from benchmarks.systems import System

__all__ = ["MEASURE", "Bench", "Figures", "Sizes", "drain", "stop", "wait_drained"]

Figures = dict[str, float]
OnLook = Callable[[Sequence[Agent]], None]

_LOOK = 0.005
_STUCK = 30.0
_IDLE_RATE = 125.0
_WARM_UP = 20  # that an agent enqueues one by one before it is timed
_OWN_STATEMENTS = 4  # of the harness, between two looks at what the database has used


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; ``equal`` gives slow systems the same number of jobs as fast ones."""

    one: int = 2000
    at_once: int = 6400
    bulk: int = 100_000
    drain: int = 100_000
    idle_jobs: int = 300
    half_seconds: float = 2.0
    idle: float = 10.0
    dispatch: int = 100_000
    history: int = 1_000_000
    scheduled: int = 100_000
    dead: int = 10_000
    foreign: int = 200_000
    held: int = 200_000
    limited: int = 1_000_000
    long: int = 300_000
    follow_up: bool = True
    """Whether each scenario is followed by a clean drain, to divide it by."""
    equal: bool = False

    def of(self, system: System, size: int) -> int:
        """A bulk or drain size for one system."""
        return size if self.equal else max(1, int(size * system.share))


@dataclass(frozen=True, slots=True)
class Bench:
    """A system that is about to be measured."""

    system: System
    command: list[str]
    kind: Kind
    sizes: Sizes
    earlier: dict[str, Figures]
    """What was measured of it in this repeat already."""

    def agent(self, store: Store) -> Agent:
        """A process of the system."""
        return Agent(self.system.key, self.command, store.url)


def _enqueue(bench: Bench) -> Figures:
    sizes, figures = bench.sizes, Figures()
    counts = {"one": sizes.one, "at_once": sizes.at_once, "bulk": sizes.of(bench.system, sizes.bulk)}
    counts = {verb: counts[verb] for verb in bench.system.enqueues}
    with bench.kind.new_store() as store, bench.agent(store) as agent:
        agent.ask("prepare")
        agent.ask("open")
        for verb, count in counts.items():
            store.settle()
            figures[verb] = count / agent.ask(verb, count=count)["seconds"]
        found = store.number(bench.system.waiting)
    _expect(bench.system, "jobs enqueued", found, sum(counts.values()) + _WARM_UP)
    figures["bulk_jobs"] = counts["bulk"]
    return figures


def _drain(workers: int) -> Callable[[Bench], Figures]:
    def measure(bench: Bench) -> Figures:
        count = bench.sizes.of(bench.system, bench.sizes.drain)
        with bench.kind.new_store() as store:
            with bench.agent(store) as agent:
                agent.ask("prepare")
                agent.ask("open")
                agent.ask("fill", count=count)
            store.settle()
            return drain(bench, store, count, workers)

    return measure


def drain(
    bench: Bench, store: Store, count: int, workers: int, on_look: OnLook | None = None, **options: Any
) -> Figures:
    """Measure from the moment at which ready workers are let go until the store has nothing left.

    A ready worker has imported everything and opened the store. Registering, claiming, running and finishing are
    timed. Checked are that nothing was claimed before, and that every job is completed afterwards.

    :param on_look: called with the agents each time that the store was asked whether anything is left.
    :param options: of the program's ``work``.
    """
    system = bench.system
    done_before = store.number(system.completed) if system.completed else 0
    with ExitStack() as stack:
        agents = [stack.enter_context(bench.agent(store)) for _ in range(workers)]
        for agent in agents:
            agent.ask("open")
        waiting = store.number(system.waiting)
        if waiting < count:
            raise AgentFailed(f"{system.key}: {count - waiting:,} jobs were claimed before the clock started")
        before, used = store.usage(), sum(agent.cpu_seconds() for agent in agents)
        started = time.perf_counter()
        for agent in agents:
            agent.tell("work", **options)
        wait_drained(system, store, agents, on_look)
        seconds = time.perf_counter() - started
        used = sum(agent.cpu_seconds() for agent in agents) - used
        after = store.usage()
        figures = {
            "jobs_per_second": count / seconds,
            "jobs": count,
            "worker_cpu": used / count * 1e6,
            "worker_memory": max(agent.peak_memory() for agent in agents),
        }
        if before and after:
            figures["database_cpu"] = (after.cpu_seconds - before.cpu_seconds) / count * 1e6
            figures["wal"] = (after.wal_bytes - before.wal_bytes) / count
        memory = store.memory()
        if memory is not None:
            figures["database_memory"] = memory
        answers = stop(agents)
    ran = sum(answer["ran"] for answer in answers)
    completed = store.number(system.completed) - done_before if system.completed else ran
    _expect(system, "jobs completed in the store" if system.completed else "jobs run", completed, count)
    return figures


def _latency(bench: Bench) -> Figures:
    """On one worker process: jobs that come one by one, then jobs at half of what it can take."""
    sizes, system = bench.sizes, bench.system
    with (
        bench.kind.new_store() as store,
        store.undisturbed(),
        bench.agent(store) as producer,
        bench.agent(store) as worker,
    ):
        producer.ask("prepare")
        producer.ask("open")
        worker.ask("open")
        worker.tell("work")
        producer.ask("paced", first=0, count=10, rate=_IDLE_RATE)
        wait_drained(system, store, [worker])
        idle = producer.ask("paced", first=1000, count=sizes.idle_jobs, rate=_IDLE_RATE)["called"]
        wait_drained(system, store, [worker])
        rate = _half_rate(bench.earlier)
        half = {}
        if rate is not None:
            count = max(50, int(rate * sizes.half_seconds))
            half = producer.ask("paced", first=100_000, count=count, rate=rate)["called"]
            wait_drained(system, store, [worker])
        [answer] = stop([worker])
    starts = answer["starts"]
    figures = _percentiles("idle", [starts[number] - moment for number, moment in idle.items()])
    if rate is not None:
        figures |= _percentiles("half", [starts[number] - moment for number, moment in half.items()])
        figures["half_rate"] = rate
    return figures


def _half_rate(earlier: dict[str, Figures]) -> float | None:
    """Half of the rate of one caller or of one worker in this repeat, whichever is less."""
    if "one" not in earlier.get("enqueue", {}) or "drain_1" not in earlier:
        return None
    return min(earlier["enqueue"]["one"], earlier["drain_1"]["jobs_per_second"]) / 2


def _idle(bench: Bench) -> Figures:
    with bench.kind.new_store() as store, bench.agent(store) as producer, bench.agent(store) as worker:
        producer.ask("prepare")
        producer.ask("open")
        worker.ask("open")
        worker.tell("work")
        producer.ask("paced", first=0, count=10, rate=_IDLE_RATE)
        wait_drained(bench.system, store, [worker])
        time.sleep(2 * bench.sizes.idle)  # an idle backend reports its statistics only after ten seconds
        before, used, since = store.usage(), worker.cpu_seconds(), time.perf_counter()
        time.sleep(bench.sizes.idle)
        used, seconds, after = worker.cpu_seconds() - used, time.perf_counter() - since, store.usage()
        figures = {"cpu_percent": used / seconds * 100, "memory": worker.memory()}
        if before and after:
            # The harness's own four statements of the second look are taken off.
            figures["transactions"] = max(0.0, after.transactions - before.transactions - _OWN_STATEMENTS) / seconds
        stop([worker])
    return figures


def _dispatch(bench: Bench) -> Figures:
    count = bench.sizes.dispatch
    with bench.kind.new_store() as store, bench.agent(store) as agent:
        agent.ask("prepare")
        return {"jobs_per_second": count / agent.ask("dispatch", count=count)["seconds"]}


def wait_drained(system: System, store: Store, agents: Sequence[Agent], on_look: OnLook | None = None) -> None:
    """Wait until the store says that nothing waits or runs."""
    left, since = -1, time.monotonic()
    while store.number(system.left):
        if any(agent.has_ended for agent in agents):
            raise AgentFailed(f"{system.key}: a worker ended before the work did\n{_errors(agents)}")
        if time.monotonic() - since > _STUCK:
            before, left, since = left, store.number(system.waiting), time.monotonic()
            if left == before:
                raise AgentFailed(
                    f"{system.key}: {left:,} jobs wait and nothing was claimed for {_STUCK:g} s\n{_errors(agents)}"
                )
        if on_look:
            on_look(agents)
        time.sleep(_LOOK)


def _errors(agents: Sequence[Agent]) -> str:
    return "\n".join(agent.errors for agent in agents)


def stop(agents: Sequence[Agent]) -> list[dict[str, Any]]:
    """End workers; what they say."""
    for agent in agents:
        agent.tell("stop")
    return [agent.answer() for agent in agents]


def _expect(system: System, what: str, found: int, expected: int) -> None:
    if found != expected:
        raise AgentFailed(f"{system.key}: {found:,} {what}, expected {expected:,}")


def _percentiles(name: str, nanoseconds: list[int]) -> Figures:
    milliseconds = sorted(each / 1e6 for each in nanoseconds)
    hundredths = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {f"{name}_p50": hundredths[49], f"{name}_p99": hundredths[98], f"{name}_max": milliseconds[-1]}


MEASURE: dict[str, Callable[[Bench], Figures]] = {
    "enqueue": _enqueue,
    "drain_1": _drain(1),
    "drain_2": _drain(2),
    "latency": _latency,
    "idle": _idle,
    "dispatch": _dispatch,
}
