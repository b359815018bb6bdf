"""One call after another in a warm process: Turnspit's, a ``ProcessPoolExecutor``'s, and pebble's, in turns.

``python -m benchmarks.isolated_calls`` prints the median of the rounds, in microseconds a call.
"""

import importlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from pebble import ProcessPool

from turnspit import JobContext, Turnspit
from turnspit._runtime.worker.processes import Processes

app = Turnspit("sqlite:////nonexistent/turnspit.db")


@app.task(isolate=True)
def double(number: int) -> int:
    """The call."""
    return number * 2


def plain_double(number: int) -> int:
    """The same, as the pools find it."""
    return number * 2


def main(calls: int = 1000, rounds: int = 9) -> None:
    """Measure, and print."""
    spawn = multiprocessing.get_context("spawn")
    processes = Processes(app.worker_parts())
    context = JobContext.detached("double")
    context._claim = context._claim._replace(args='{"number":7}')
    with ProcessPoolExecutor(1, mp_context=spawn) as executor, ProcessPool(1, context=spawn) as pebble:
        ways: dict[str, Callable[[], object]] = {
            "turnspit": lambda: processes.run(double, context),
            "ProcessPoolExecutor": lambda: executor.submit(plain_double, 7).result(),
            "pebble": lambda: pebble.schedule(plain_double, args=[7], timeout=60).result(),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for call in ways.values():
            call()
        for _ in range(rounds):
            for name, call in ways.items():
                began = time.perf_counter()
                for _ in range(calls):
                    assert call() == 14
                took[name].append((time.perf_counter() - began) / calls * 1e6)
    processes.close()
    for name, times in took.items():
        sys.stdout.write(
            f"{name:20} {statistics.median(times):7.0f} µs a call ({min(times):.0f} to {max(times):.0f})\n"
        )


if __name__ == "__main__":
    # Under its own name: there the processes find the task.
    importlib.import_module("benchmarks.isolated_calls").main()
