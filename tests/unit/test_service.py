"""How loops wait after an error."""

import inspect

from turnspit import Turnspit
from turnspit._runtime.service import Backoff
from turnspit._runtime.worker.settings import WorkerSettings


def test_delays_double_up_to_the_longest_and_no_two_workers_wait_alike() -> None:
    runs = []
    for _ in range(20):
        backoff = Backoff(first=0.1, longest=5.0)
        runs.append([backoff.delay() for _ in range(10)])
    for number, longest in enumerate([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5]):
        column = [run[number] for run in runs]
        assert all(longest / 2 <= delay <= longest for delay in column)
        assert len({*column}) == 20, "with jitter"


def test_it_begins_anew_once_it_worked() -> None:
    backoff = Backoff(first=0.1)
    for _ in range(10):
        backoff.delay()
    backoff.reset()
    assert backoff.delay() <= 0.1


def test_a_lease_of_fifteen_seconds_is_renewed_every_five() -> None:
    settings = WorkerSettings()
    assert (settings.lease, settings.heartbeat) == (15.0, 5.0)
    for start in (Turnspit.worker, Turnspit.run_worker):
        parameters = inspect.signature(start).parameters
        assert (parameters["lease"].default, parameters["heartbeat"].default) == (15.0, None), "a third of the lease"
