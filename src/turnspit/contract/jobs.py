"""Jobs on their way from enqueued to ended."""

from collections.abc import Sequence
from typing import Any, Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import (
    Claim,
    ClaimAtOnce,
    ClaimRequest,
    Completion,
    Finish,
    FinishReport,
    Inserted,
    NewJob,
    ProgressReport,
    ProgressUpdate,
    PruneRequest,
)

__all__ = ["MOST_QUEUES", "Jobs"]

MOST_QUEUES = 64
"""Queues that share one claim. Few jobs from many queues lie nearer to each other in a table than many from few."""


class Jobs(Protocol):
    """The verbs that move jobs. Each one is atomic, and safe beside any number of other processes."""

    def insert_job(self, new: NewJob[Any]) -> Verb[Inserted]:
        """Store one job: ``scheduled`` if its time is still to come, else ``ready``.

        ``at`` is a moment, ``delay`` counts from the database's now; the later of the two decides.
        Ids grow and are never used again. Where another job holds its unique key, nothing is stored: that job is
        returned with ``created`` false, after it was replaced where the rule says so and it has not begun.

        :raises JobExists: where the rule says so.
        """
        ...

    def insert_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        """Store many jobs, all or none; their ids in the order given, those of the holders where keys are taken.

        :raises JobExists: where a rule says so.
        """
        ...

    def claim_jobs(self, request: ClaimRequest) -> Verb[list[Claim]]:
        """Give the worker up to ``limit`` ready jobs, which become ``running``.

        Inside a queue: larger priority first, then smaller id. Between queues: round-robin that begins behind
        ``request.after``, so that a busy queue cannot starve another. Each claim adds one to ``fence``, which never
        goes back, and to ``attempt``. A job whose task the worker does not know is left as it is if another live
        worker knows the task, and becomes ``held`` if none does, so that it cannot slow later claims. A worker that
        was declared dead gets nothing. With ``request.job`` that one job is claimed, if it is
        ready or waits for its limits.
        """
        ...

    def claim_jobs_at_once(self, request: ClaimRequest) -> Verb[ClaimAtOnce]:
        """``claim_jobs``, as soon as the store can. It may leave jobs that nobody knows where they are. Of several
        queues it may claim fewer jobs than it was asked for: of each its share, of which there are ``MOST_QUEUES`` at
        the most. It may also have looked behind what was claimed last and nowhere else. Then the answer is partial.
        """
        ...

    def finish_jobs(self, finishes: Sequence[Finish]) -> Verb[FinishReport]:
        """End attempts. A finish whose ``(id, fence)`` is not the running claim writes nothing and is reported lost,
        except one that is found in history under its own fence: that one succeeded and its answer was lost.

        A completion moves the job to history. An ending is kept as an attempt with its error; then the job is
        scheduled ``delay`` from now (``RETRY``; ``SNOOZE`` and ``INVALID``, which give the attempt back), dead, or
        cancelled. A job whose cancellation was requested is cancelled instead of scheduled.

        A confirmation counts what ``finish_job`` completed; if that did not commit, the attempt ends ``otherwise``.
        While its transaction is open, the confirmation is reported undecided and changes nothing.
        """
        ...

    def finish_jobs_at_once(self, completions: Sequence[Completion]) -> Verb[list[int]]:
        """``finish_jobs`` for a worker in a hurry: those that it ended. The others are left as they were: what has
        limits or belongs to a workflow, and what is not the running claim.
        """
        ...

    def finish_job(self, completion: Completion) -> Verb[bool]:
        """Complete an attempt inside a caller's transaction: move its job to history; ``False`` if the claim is not
        current, and nothing was written.

        What others share (counters, wakes) would stay locked until the caller commits. So a row is left in the outbox
        instead, and the rest follows the commit: in ``finish_jobs`` with the worker's ``Confirmation``, or in
        ``rescue_jobs`` where that worker has ended.
        """
        ...

    def return_jobs(self, claims: Sequence[tuple[int, int]]) -> Verb[list[int]]:
        """Give claimed jobs back unrun, with their attempt restored; the ids that were really returned.

        A job whose cancellation was requested is cancelled instead.
        """
        ...

    def promote_jobs(self, limit: int) -> Verb[tuple[int, int | None]]:
        """Make due ``scheduled`` jobs ready, oldest first, and cancel waiting jobs that have expired: how many became
        ready, and microseconds to the next time at which there is something to do.
        """
        ...

    def record_progress(self, updates: Sequence[ProgressUpdate]) -> Verb[ProgressReport]:
        """Keep progress and log lines of running jobs. One that an open transaction holds is not waited for."""
        ...

    def prune_jobs(self, request: PruneRequest) -> Verb[int]:
        """Remove final jobs past their time with their attempts and log lines, at most ``limit`` of each kind,
        at a cost that does not grow with the history. How many rows were removed.
        """
        ...
