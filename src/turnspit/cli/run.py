"""``turnspit run``: one job, here, with nothing written to the store."""

import asyncio
import json
import os
import pdb
import sys
from collections import Counter
from typing import Annotated, Any

import typer
from rich.text import Text

from turnspit._runtime.worker.failures import describe
from turnspit._runtime.worker.unrecorded import UnrecordedRun, run_unrecorded
from turnspit.app import Turnspit
from turnspit.cli.errors import Failed, WrongUsage
from turnspit.cli.loading import find_app, is_job_id, require_store
from turnspit.cli.options import AsJson, read_id
from turnspit.cli.output import describe_duration, err, note, plain, print_json
from turnspit.codec import DEFAULT_LIMIT, stored_value
from turnspit.errors import InvalidPayload, JobNotFound, TurnspitError
from turnspit.records import Claim, Ending, EndingMove, JobRecord, NewJob
from turnspit.workflow_steps import StoredStep, WorkflowStep
from turnspit.workflows import WorkflowBuilder

__all__ = ["EXAMPLES", "run"]

EXAMPLES = ("turnspit run shop.jobs:app 113", "turnspit run shop.jobs:app 113 --pdb")

_WAKE = 0.2
"""Seconds within which a Ctrl-C is seen."""
_FAILED = (EndingMove.RETRY, EndingMove.DEAD, EndingMove.INVALID)


def run(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[APP] ID", help="The app (default: $TURNSPIT_APP) and the job's id."),
    ],
    debug: Annotated[
        bool, typer.Option("--pdb", help="Open the debugger where it fails; there is no time-out then.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a job's stored arguments in this process and write nothing to the store.

    It goes through the app's lifespan and middleware and ends as it would in a worker; its result or its traceback is
    printed. What the function itself does is real: the e-mail is sent. Exits with 1 if the job failed.
    """
    app, job_id = _app_and_job(words)
    require_store(app)
    record = app.engine.read(app.engine.get_job, job_id)
    if record is None:
        raise JobNotFound(f"there is no job {job_id} at {app.engine.location}: never enqueued, deleted or pruned")
    if record.task not in app.tasks:
        raise WrongUsage(f"job {job_id} is of the task {record.task!r}, which this app does not declare")
    ended = _run(app, record, limit_time=not debug)
    failed = ended.ended.ending is not None and ended.ended.ending.move in _FAILED
    if as_json:
        print_json(_document(app, ended))
    else:
        _show(app, ended)
    if failed and debug and ended.ended.error is not None:
        pdb.post_mortem(ended.ended.error.__traceback__)
    raise typer.Exit(int(failed))


def _app_and_job(words: list[str]) -> tuple[Turnspit, int]:
    *names, number = words
    if len(names) > 1 or not is_job_id(number):
        raise WrongUsage("run takes an app and one job's id, as in: turnspit run shop.jobs:app 113")
    job_id = read_id(number, "job")
    return find_app(names[0] if names else None).app, job_id


class _Reports:
    """Shows what the job reports, instead of storing it."""

    def report_progress(self, claim: Claim, progress: float, message: str | None, data: str | None) -> None:
        note(f"progress {progress:.0%}{' ' + message if message else ''}")

    def report_cursor(self, claim: Claim, cursor: str) -> None:
        """No later attempt goes on from it."""

    def report_log(self, claim: Claim, level: str, message: str) -> None:
        note(f"{level} {message}")

    def finish_in(self, tx: object, claim: Claim, result: Any) -> None:
        note(f"would be completed in the transaction of job.finish(), with the result {result!r}")

    async def afinish_in(self, tx: object, claim: Claim, result: Any) -> None:
        self.finish_in(tx, claim, result)

    def extend_workflow(self, claim: Claim) -> WorkflowBuilder:
        return WorkflowBuilder(_Unstored(), None, by=(claim.id, claim.fence))


class _Unstored:
    """Counts the jobs that the job adds to its workflow, and stores none."""

    max_payload = DEFAULT_LIMIT

    def check_job(self, new: NewJob[Any], on_failure: str) -> None:
        """Nothing is stored."""

    def store_step(self, step: WorkflowStep) -> StoredStep:
        note(f"would add {len(step.jobs):,} jobs to its workflow")
        return StoredStep(0, list(range(1, len(step.jobs) + 1)))

    async def astore_step(self, step: WorkflowStep) -> StoredStep:
        return self.store_step(step)

    def release(self, reserved: Counter[str]) -> None:
        """Nothing is stored."""

    def give_up(self, workflow: int) -> None:
        """Nothing is stored."""

    async def agive_up(self, workflow: int) -> None:
        """Nothing is stored."""


async def _run_awake(app: Turnspit, record: JobRecord, *, limit_time: bool) -> UnrecordedRun:
    """``asyncio.run`` has no wake-up for signals: a Ctrl-C that comes just before the loop sleeps, or in another
    thread, is only seen when the loop wakes.
    """
    loop = asyncio.get_running_loop()

    def wake_again() -> None:
        loop.call_later(_WAKE, wake_again)

    wake_again()
    return await run_unrecorded(app.worker_parts(), record, _Reports(), limit_time=limit_time)


def _run(app: Turnspit, record: JobRecord, *, limit_time: bool) -> UnrecordedRun:
    try:
        return asyncio.run(_run_awake(app, record, limit_time=limit_time))
    except TurnspitError:
        raise
    except KeyboardInterrupt:
        # The function may run in a thread: it cannot be stopped, and Python would wait for it.
        note("stopped")
        sys.stderr.flush()
        os._exit(130)
    except Exception as error:
        note(describe(error, record.task).traceback or "")
        raise Failed(f"job {record.id} was not run: {type(error).__name__}: {error}") from error


def _document(app: Turnspit, run: UnrecordedRun) -> dict[str, Any]:
    ending = run.ended.ending
    error = None if ending is None else ending.error
    return {
        "id": run.ended.claim.id,
        "task": run.ended.claim.task,
        "outcome": "completed" if ending is None else str(ending.move),
        "seconds": round(run.ended.seconds, 6),
        "result": stored_value(_result(app, run)) if error is None else None,
        "error_type": error and error.type,
        "error_message": error and error.message,
        "traceback": error and error.traceback,
    }


def _result(app: Turnspit, run: UnrecordedRun) -> str:
    """What the function returned, as it would be stored; its ``repr`` if it cannot be stored."""
    try:
        return app.tasks[run.ended.claim.task].signature.dump_result(run.value, sys.maxsize)
    except InvalidPayload as error:
        note(str(error))
        return repr(run.value)


def _show(app: Turnspit, run: UnrecordedRun) -> None:
    ended, ending = run.ended, run.ended.ending
    took = describe_duration(ended.seconds)
    about = f"job {ended.claim.id} ({ended.claim.task})"
    if ending is None:
        text = _result(app, run)
        value = stored_value(text)
        is_json = not (isinstance(value, str) and value == text)
        shown = json.dumps(value, ensure_ascii=False, indent=2) if is_json else text
        sys.stdout.write(plain(shown) + "\n")
        err().print(Text(f"✔ {about} completed after {took}; nothing was written", "green"), soft_wrap=True)
        return
    if ending.move in _FAILED and ending.error.traceback:
        note(ending.error.traceback.rstrip())
    mark, style = ("✘", "red") if ending.move in _FAILED else ("•", "cyan")
    reason = " ".join(f"{ending.error.type}: {ending.error.message}".removesuffix(": ").split())
    text = f"{mark} {about} {_verdict(ending)} after {took}: {reason}; nothing was written"
    err().print(Text(plain(text), style), soft_wrap=True)


def _verdict(ending: Ending) -> str:
    """What would have become of the job in a worker."""
    delay = describe_duration(ending.delay / 1_000_000)
    return {
        EndingMove.RETRY: f"failed (a worker would try again {delay} later)",
        EndingMove.SNOOZE: f"asked to run again {delay} later",
        EndingMove.CANCEL: "cancelled itself",
        EndingMove.DEAD: "failed (in a worker it would be dead now)",
        EndingMove.INVALID: "has arguments that do not fit its task",
    }[ending.move]
