"""What a hundred open dashboards cost a busy queue: BENCHMARK_STORE=URL python -m benchmarks.dashboards

A worker process works off jobs that do nothing, in turns without and with a hundred pages open on a dashboard. The
dashboard's processor time is printed, too: it is reliable even if the machine does other things.
"""

import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import psutil

from turnspit import Turnspit

PAGES = ("/", "/jobs", "/queues", "/workers", "/metrics")
VIEWERS = 100
JOBS = 40_000
ROUNDS = 3

STORE = os.environ.setdefault("BENCHMARK_STORE", f"sqlite:///{tempfile.mkdtemp()}/dashboards.db")
app = Turnspit(STORE)


@app.task
async def nothing(number: int) -> None: ...


def work() -> float:
    """Work off all jobs in a process of its own: jobs a second."""
    app.enqueue_many(nothing.new(number) for number in range(JOBS))
    began = perf_counter()
    command = [sys.executable, "-m", "turnspit", "worker", "benchmarks.dashboards:app", "--until-empty"]
    subprocess.run([*command, "--log-level", "error"], check=True, stderr=subprocess.DEVNULL)
    return JOBS / (perf_counter() - began)


@contextmanager
def dashboard() -> Iterator[tuple[str, psutil.Process]]:
    """A dashboard in a process of its own: its URL."""
    command = [sys.executable, "-m", "turnspit", "dashboard", "benchmarks.dashboards:app", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = None
        while url is None:
            url = re.search(r"http://\S+:\d+", process.stderr.readline())
        try:
            yield url[0], psutil.Process(process.pid)
        finally:
            process.kill()


@contextmanager
def viewers(url: str) -> Iterator[list[int]]:
    """A hundred open pages that read their updates: how many bytes each has got."""
    got, chosen, over = [0] * VIEWERS, selectors.DefaultSelector(), threading.Event()
    host, _, port = url.removeprefix("http://").partition(":")
    for number in range(VIEWERS):
        connection = socket.create_connection((host, int(port)), timeout=20)
        page = PAGES[number % len(PAGES)]
        connection.sendall(f"GET /live?page={page} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        chosen.register(connection, selectors.EVENT_READ, number)

    def read() -> None:
        while not over.is_set():
            for key, _ in chosen.select(0.2):
                got[key.data] += len(key.fileobj.recv(65536))  # type: ignore[union-attr]

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield got
    finally:
        over.set()
        reading.join()
        for key in list(chosen.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def main() -> None:
    """Measure and print."""
    alone: list[float] = []
    watched: list[float] = []
    shares: list[float] = []
    work()  # warm
    with dashboard() as (url, process):
        for _ in range(ROUNDS):
            alone.append(work())
            with viewers(url) as got:
                before, began = sum(process.cpu_times()[:2]), perf_counter()
                watched.append(work())
                shares.append((sum(process.cpu_times()[:2]) - before) / (perf_counter() - began))
                assert all(got), "a page got no update"
    print(f"alone                       {statistics.median(alone):8,.0f} jobs/s")
    print(f"with {VIEWERS} open dashboards    {statistics.median(watched):8,.0f} jobs/s")
    print(f"the dashboard's process     {statistics.median(shares):8.1%} of one core")


if __name__ == "__main__":
    main()
