"""One function a measurement: on a fresh store, a few agents, a few figures."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contract import System
from benchmarks.processes import Agent, AgentFailed, run_agent

__all__ = ["FULL", "MEASURE", "QUICK", "Figures", "Sizes"]

Figures = dict[str, float]

_LOOK = 0.005
_SETTLE = 1.5
_STUCK = 30.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; ``equal`` gives slow systems the same number of jobs as fast ones."""

    one: int = 2000
    at_once: int = 6400
    bulk: int = 100_000
    drain: int = 100_000
    wake: int = 500
    idle: float = 10.0
    dispatch: int = 100_000
    equal: bool = False

    def of(self, system: type[System], size: int) -> int:
        """A bulk or drain size for one system."""
        return size if self.equal else max(1, int(size * system.share))


FULL = Sizes()
QUICK = Sizes(one=100, at_once=500, bulk=2000, drain=2000, wake=20, idle=0.5, dispatch=5000)


def _rate(verb: str, size: str) -> Callable[[type[System], Path, Sizes], Figures]:
    def measure(system: type[System], store: Path, sizes: Sizes) -> Figures:
        count = getattr(sizes, size)
        if size == "bulk":
            count = sizes.of(system, count)
        report = run_agent(system, store, verb, count)
        return {"jobs_per_second": count / report["seconds"], "jobs": count}

    return measure


def _drain(workers: int) -> Callable[[type[System], Path, Sizes], Figures]:
    """From the moment at which ready workers are let go to the moment at which the store has nothing left.

    A ready worker has imported everything and opened the store. Registering, claiming, running and finishing are
    inside the clock; nothing is claimed before it, which is checked; that every job is completed is checked after.
    """

    def measure(system: type[System], store: Path, sizes: Sizes) -> Figures:
        count = sizes.of(system, sizes.drain)
        run_agent(system, store, "fill", count)
        look = system(store)
        with ExitStack() as stack:
            agents = [stack.enter_context(Agent(system, store, "work")) for _ in range(workers)]
            _expect(system, "jobs nobody has claimed before the clock starts", look.count_untouched(), count)
            used = sum(agent.cpu_seconds() for agent in agents)
            started = time.perf_counter()
            for agent in agents:
                agent.tell()
            _wait_drained(look, agents)
            seconds = time.perf_counter() - started
            used = sum(agent.cpu_seconds() for agent in agents) - used
            memory = max(agent.memory("VmHWM") for agent in agents)
            _stop(agents)
        _expect(system, "jobs completed in the store", look.count_completed(), count)
        return {
            "jobs_per_second": count / seconds,
            "jobs": count,
            "cpu_microseconds_per_job": used / count * 1e6,
            "peak_memory_mb": memory,
        }

    return measure


def _wake_inside(system: type[System], store: Path, sizes: Sizes) -> Figures:
    return _percentiles(run_agent(system, store, "wake_inside", sizes.wake)["waits"])


def _wake_across(system: type[System], store: Path, sizes: Sizes) -> Figures:
    with Agent(system, store, "work") as worker:
        worker.tell()
        _warm_up(system, store, worker)
        called = run_agent(system, store, "enqueue_paced", sizes.wake)["called"]
        _wait_drained(system(store), [worker])
        worker.tell()
        started = worker.report()["starts"]
    return _percentiles([started[number] - moment for number, moment in called.items()])


def _idle(system: type[System], store: Path, sizes: Sizes) -> Figures:
    with Agent(system, store, "work") as worker:
        worker.tell()
        _warm_up(system, store, worker)
        time.sleep(min(_SETTLE, sizes.idle))
        used, since = worker.cpu_seconds(), time.perf_counter()
        time.sleep(sizes.idle)
        used, seconds = worker.cpu_seconds() - used, time.perf_counter() - since
        memory = worker.memory()
        _stop([worker])
    return {"cpu_percent": used / seconds * 100, "memory_mb": memory, "seconds": seconds}


def _warm_up(system: type[System], store: Path, worker: Agent) -> None:
    run_agent(system, store, "enqueue_paced", 10)
    _wait_drained(system(store), [worker])


def _wait_drained(look: System, agents: list[Agent]) -> None:
    left, since = look.count_untouched(), time.monotonic()
    while not look.is_drained():
        if any(agent.has_ended for agent in agents):
            raise AgentFailed(f"{look.name}: a worker ended before the work did\n{_errors(agents)}")
        if time.monotonic() - since > _STUCK:
            before, left, since = left, look.count_untouched(), time.monotonic()
            if left == before:
                raise AgentFailed(
                    f"{look.name}: {left:,} jobs wait and nothing was claimed for {_STUCK:g} s\n{_errors(agents)}"
                )
        time.sleep(_LOOK)


def _errors(agents: list[Agent]) -> str:
    return "\n".join(agent.errors for agent in agents)


def _stop(agents: list[Agent]) -> None:
    for agent in agents:
        agent.tell()
    for agent in agents:
        agent.report()


def _expect(system: type[System], what: str, found: int, expected: int) -> None:
    if found != expected:
        raise AgentFailed(f"{system.name}: {found:,} {what}, expected {expected:,}")


def _percentiles(nanoseconds: list[int]) -> Figures:
    milliseconds = sorted(each / 1e6 for each in nanoseconds)
    hundredths = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {
        "p50": hundredths[49],
        "p99": hundredths[98],
        "max": milliseconds[-1],
        "samples": len(milliseconds),
    }


MEASURE: dict[str, Callable[[type[System], Path, Sizes], Figures]] = {
    "one": _rate("one", "one"),
    "at_once": _rate("at_once", "at_once"),
    "bulk": _rate("bulk", "bulk"),
    "drain_1": _drain(1),
    "drain_2": _drain(2),
    "wake_inside": _wake_inside,
    "wake_across": _wake_across,
    "idle": _idle,
    "dispatch": _rate("dispatch", "dispatch"),
}
