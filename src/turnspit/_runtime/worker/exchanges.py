"""What a worker asks of its store in one call."""

from collections.abc import Callable
from typing import Any

from turnspit._runtime.worker.finisher import Portion
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.records import Claim, ClaimRequest, FinishReport, ProgressReport

__all__ = ["exchange", "store"]


def exchange(engine: Engine, portion: Portion, request: ClaimRequest | None) -> Verb[tuple[FinishReport, list[Claim]]]:
    """Store a portion and claim, in one transaction."""
    progress = (yield from engine.record_progress(portion.updates)) if portion.updates else ProgressReport()
    report = (yield from engine.finish_jobs(portion.finishes)) if portion.ended else FinishReport()
    report.locked = progress.locked
    claims = (yield from engine.claim_jobs(request)) if request is not None else []
    return report, claims


async def store(engine: Engine, write: Callable[..., Any], portion: Portion) -> FinishReport:
    """Store a portion: try the fastest way first, and finish in full what that leaves."""
    if portion.is_plain:
        done = set(await write(engine.finish_jobs_at_once, portion.finishes))
        portion = Portion([each for each in portion.ended if each.claim.id not in done])
        if not portion:
            return FinishReport()
    report: FinishReport
    report, _ = await write(exchange, engine, portion, None)
    return report
