"""A worker that ends itself at a named point: ``python -m tests.faults.points URL LEDGER POINT [CONCURRENCY] [LEASE]``.

The verbs of its engine are wrapped here, in this program: the product knows no points.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from soak.ledger import Ledger
from soak.programs import write_down_ends
from soak.tasks import make_app

from tests.faults.programs import say
from tests.writes import after_writes
from turnspit import JobContext, Turnspit
from turnspit._runtime.worker.finisher import Finisher, Portion
from turnspit.contract.verbs import Statement, Verb
from turnspit.errors import EngineUnavailable
from turnspit.records import ClaimAtOnce, ClaimRequest

LEASE, HEARTBEAT = 0.8, 0.2
LONG_LEASE = 2.0
"""Where nobody may be declared dead: also not because the machine is busy."""


def die(*_: object) -> NoReturn:
    """As the kernel does when memory runs out: no handler, no ``finally``, no goodbye."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody outlives this")


def after_statement(app: Turnspit, verb: str, number: int) -> None:
    """Die inside a verb's transaction, right after its statement of this number that found something."""
    original = getattr(app.engine, verb)

    def cut(*arguments: Any) -> Verb[Any]:
        steps, rows, seen = original(*arguments), None, 0
        with contextlib.suppress(StopIteration):
            while True:
                step = steps.send(rows)
                rows = yield step
                seen += isinstance(step, Statement) and bool(rows or seen)
                if seen == number:
                    die()
        return None

    setattr(app.engine, verb, cut)


def after_block(app: Turnspit, verb: str, block: str) -> None:
    """Die inside a verb's transaction, right after the statement of this block."""
    original = getattr(app.engine, verb)

    def cut(*arguments: Any) -> Verb[Any]:
        steps, rows = original(*arguments), None
        while True:
            try:
                step = steps.send(rows)
            except StopIteration as end:
                return end.value
            rows = yield step
            if isinstance(step, Statement) and step.sql == app.engine.sql[block]:  # type: ignore[attr-defined]
                die()

    setattr(app.engine, verb, cut)


def after_exchange(app: Turnspit, is_it: Callable[[Any, Any], bool], then: Callable[[], None]) -> None:
    """Do something once an exchange with the store is committed and before its worker hears of it, the first time."""
    done = []

    def look(verb: Any, arguments: tuple[Any, ...], answer: Any) -> None:
        portion, claims = next((each for each in arguments if isinstance(each, Portion)), None), []
        if verb.__name__ == "claim_jobs_at_once":
            portion, claims = Portion(), answer.claims
        elif portion is not None:
            claims = answer[1]
        if portion is not None and not done and is_it(portion, claims):
            done.append(True)
            then()

    after_writes(app, look)


def after_finish_at_once(app: Turnspit, then: Callable[[], None]) -> None:
    """The same, of what a worker stores without claiming."""
    done = []

    def look(verb: Any, arguments: tuple[Any, ...], answer: Any) -> None:
        if verb.__name__ == "finish_jobs_at_once" and not done:
            done.append(True)
            then()

    after_writes(app, look)


def lose() -> None:
    """The connection broke, the commit did not."""
    say("lost")
    raise EngineUnavailable("the answer was lost")


def before_acknowledge(app: Turnspit) -> None:
    """The handler has returned, nobody was told."""
    Finisher.add = die  # type: ignore[method-assign, assignment]


def inside(app: Turnspit) -> None:
    @app.middleware
    async def die_inside(job: JobContext, call_next: Any) -> Any:
        die()


def never_renews(app: Turnspit) -> None:
    """Every renewal finds the store away; all else works."""

    def write_apart(verb: Any, *arguments: Any) -> Any:
        raise EngineUnavailable("no answer")

    app.engine.write_apart = write_apart  # type: ignore[method-assign]


def blocks_the_loop(app: Turnspit) -> None:
    """Each handler keeps the event loop to itself for three long leases."""

    @app.middleware
    async def block(job: JobContext, call_next: Any) -> Any:
        time.sleep(3 * LONG_LEASE)  # noqa: ASYNC251 (that is the fault)
        return await call_next(job)


def in_the_middle_of_a_claim(app: Turnspit) -> None:
    """Of a busy worker: an idle one claims by one statement, on PostgreSQL without a middle."""
    after_statement(app, "claim_jobs", 2)

    def claim_the_longer_way(request: ClaimRequest) -> Verb[ClaimAtOnce]:
        return ClaimAtOnce((yield from app.engine.claim_jobs(request)), is_partial=False)

    app.engine.claim_jobs_at_once = claim_the_longer_way  # type: ignore[method-assign]


POINTS: dict[str, Callable[[Turnspit], None]] = {
    "nowhere": lambda app: None,
    "after the claim": lambda app: after_exchange(app, lambda portion, claims: bool(claims), die),
    "in the middle of a claim": in_the_middle_of_a_claim,
    "inside the handler": inside,
    "before the acknowledgement": before_acknowledge,
    "in the middle of a portion": lambda app: after_statement(app, "finish_jobs", 1),
    "at the end of a portion": lambda app: after_statement(app, "finish_jobs", 3),
    "when a fan-in is settled": lambda app: after_block(app, "finish_jobs", "follow_ends_settle"),
    "when a fan-in is counted": lambda app: after_block(app, "finish_jobs", "follow_ends_count"),
    "when a fan-in is released": lambda app: after_block(app, "finish_jobs", "follow_ends_release"),
    "when a workflow is counted": lambda app: after_block(app, "finish_jobs", "follow_ends_workflows"),
    "after the finish": lambda app: after_exchange(app, lambda portion, claims: bool(portion.ended), die),
    "in the middle of a return": lambda app: after_statement(app, "return_jobs", 1),
    "in the middle of a rescue": lambda app: after_statement(app, "rescue_jobs", 2),
    "late in a rescue": lambda app: after_statement(app, "rescue_jobs", 5),
    "in the middle of a promotion": lambda app: after_statement(app, "promote_jobs", 1),
    "the claim's answer lost": lambda app: after_exchange(app, lambda portion, claims: bool(claims), lose),
    "never renews": never_renews,
    "blocks the loop": blocks_the_loop,
    "killed after a finish at once": lambda app: after_finish_at_once(app, die),
    "the answer of a finish at once lost": lambda app: after_finish_at_once(app, lose),
    "the finish's answer lost": lambda app: after_exchange(app, lambda portion, claims: bool(portion.ended), lose),
}


def main(url: str, folder: str, point: str, concurrency: str = "4", lease: str = str(LEASE)) -> None:
    """Work, until that point."""
    ledger = Ledger(Path(folder))
    write_down_ends(ledger)
    app = make_app(url, ledger)
    POINTS[point](app)
    app.run_worker(
        concurrency=int(concurrency),
        lease=float(lease),
        heartbeat=HEARTBEAT,
        grace=0.05,
        on_start=lambda _: say("started"),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
