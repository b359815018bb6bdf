"""How a running job is told to stop, and told again for another reason."""

import pytest

from turnspit import JobContext
from turnspit._runtime.worker.running import Running
from turnspit.context import claim_of

REASONS = ["timeout", "cancelled", "shutdown", "lost"]


class Task:
    """Stands for the asyncio task of a coroutine that cleans up for long."""

    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


def make(*, is_async: bool = True, begun: bool = True) -> tuple[Running, Task]:
    context, task = JobContext.detached(), Task()
    running = Running(claim_of(context), context)
    running.task, running.is_async, running.begun = task, is_async, begun  # type: ignore[assignment]
    return running, task


def tell(running: Running, reason: str) -> None:
    running.lose() if reason == "lost" else running.stop(reason)


@pytest.mark.parametrize("first", REASONS)
@pytest.mark.parametrize("second", REASONS)
def test_the_first_reason_counts_and_only_another_one_interrupts_the_clean_up(first: str, second: str) -> None:
    running, task = make()
    for reason in (first, first, second, second):
        tell(running, reason)
    assert running.context.stop_reason == first
    assert task.cancelled == len({first, second})
    assert running.is_lost == ("lost" in (first, second)), "whatever else it was told"


@pytest.mark.parametrize("how", [{"is_async": False}, {"begun": False}])
def test_a_thread_and_a_coroutine_that_has_not_begun_are_only_told(how: dict[str, bool]) -> None:
    """One that is cancelled before its first step would never free its slot."""
    running, task = make(**how)
    running.stop("timeout")
    assert (running.context.cancelled, task.cancelled) == (True, 0)


def test_a_newer_claim_of_its_job_waits_until_it_is_taken_or_lost() -> None:
    running, _ = make()
    claim = running.claim
    assert running.current_claim is claim
    running.lose()
    assert running.current_claim is None
    running.successor = newer = claim._replace(fence=claim.fence + 1)
    assert running.current_claim is newer
    assert running.take_successor() is newer
    assert running.current_claim is running.take_successor() is None
    running.successor = newer
    running.lose()
    assert running.current_claim is None
