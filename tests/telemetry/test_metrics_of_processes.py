"""Metrics over many worker processes, which come, go and are killed."""

import os
import signal
from pathlib import Path

import pytest

from tests.behaviour.support import wait_until
from tests.cli.gate import Gate
from tests.faults.fleet import Fleet, make_app, write_app
from tests.telemetry.scraping import Samples, scrape_fleet
from turnspit import __version__

COMPLETED = ("turnspit_jobs_completed_total", "default", "quick")


def completed(found: Samples) -> float:
    return found.get(COMPLETED, 0.0)


def test_the_counts_of_all_processes_are_added_and_outlive_them(folder: Path, store_url: str) -> None:
    name = write_app(folder, store_url)
    with make_app(store_url) as app, Gate(folder) as gate:
        quick = app.tasks["quick"]
        app.enqueue_many(quick.new() for _ in range(300))
        with Fleet(name, "--processes", "2", "--metrics-port", "0", "--lease=60", "--log-level=info") as fleet:
            wait_until(lambda: completed(scrape_fleet(fleet)) == 300, "300 completed")
            wait_until(lambda: scrape_fleet(fleet)["turnspit_worker_slots",] == 20, "both have slots")
            hold = app.tasks["hold"].enqueue(gate=gate.path)
            gate.wait_for_job()
            victim = int(gate.last().recv(20))
            wait_until(lambda: scrape_fleet(fleet)["turnspit_worker_busy",] == 1, "busy")
            os.kill(victim, signal.SIGKILL)
            gate.wait_for_job()
            gate.last().recv(20)
            gate.open()
            wait_until(lambda: hold.refresh().state == "completed", "completed")
            app.enqueue_many(quick.new() for _ in range(50))
            wait_until(lambda: completed(scrape_fleet(fleet)) == 350, "350: nothing of the killed one is forgotten")
            rescued = ("turnspit_jobs_rescued_total", "default", "hold")
            wait_until(lambda: scrape_fleet(fleet).get(rescued) == 1, "the rescue is counted, once")
            wait_until(lambda: scrape_fleet(fleet)["turnspit_worker_slots",] == 20, "its successor has slots too")
            assert scrape_fleet(fleet)["turnspit_job_wait_seconds_count", "default", "quick"] == 350
            wait_until(lambda: scrape_fleet(fleet).get(("turnspit_workers", __version__)) == 2, "two live workers")
            fleet.signal(signal.SIGTERM)
            fleet.end()


@pytest.mark.on_sqlite
def test_a_process_that_ends_in_order_says_its_last_counts(folder: Path, store_url: str) -> None:
    """Both end with nothing left; the supervisor shows what they did as long as it lives itself."""
    name = write_app(folder, store_url)
    with make_app(store_url) as app:
        hold = app.tasks["quick"].enqueue()
        with Fleet(name, "--max-jobs", "1", "--metrics-port", "0") as fleet:
            wait_until(lambda: "which had been replaced, ended with exit code 0" in fleet.so_far(), "replaced")
            assert completed(scrape_fleet(fleet)) == 1
            fleet.signal(signal.SIGTERM)
            fleet.end()
        assert hold.refresh().state == "completed"


@pytest.mark.on_sqlite
def test_one_worker_shows_its_own(folder: Path, store_url: str) -> None:
    name = write_app(folder, store_url)
    with make_app(store_url) as app:
        app.tasks["quick"].enqueue()
        with Fleet(name, "--metrics-port", "0") as fleet:
            wait_until(lambda: completed(scrape_fleet(fleet)) == 1, "completed")
            assert scrape_fleet(fleet)["turnspit_worker_slots",] == 10
            fleet.signal(signal.SIGTERM)
            fleet.end()
