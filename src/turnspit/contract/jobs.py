"""Jobs on their way from enqueued to ended."""

from collections.abc import Collection, Sequence
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
"""How many queues share one claim at most (docs/decisions/0055)."""


class Jobs(Protocol):
    """The verbs that move jobs. Each one is atomic, and safe beside any number of other processes."""

    def insert_job(self, new: NewJob[Any]) -> Verb[Inserted]:
        """Store one job: ``scheduled`` if its time is still to come, ``held`` if it has a limit, else ``ready``.

        ``at`` is a moment, ``delay`` counts from the database's now; the later of the two decides.
        Ids grow and are never used again. If another job holds its unique key, nothing is stored: that job is
        returned with ``created`` false. Where the rule says ``replace`` and that job has not begun, it gets the new
        one's arguments and options first.

        :raises JobExists: where the rule says so.
        """
        ...

    def insert_job_at_once(self, new: NewJob[Any]) -> Verb[Inserted | None]:
        """``insert_job`` for a job with a unique key that nobody has used for long, by the fastest way that the store
        has. ``None``, and nothing is stored, where somebody may hold the key: ``insert_job`` finds out.
        """
        ...

    def insert_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        """Store many jobs, all or none; their ids in the order given. For a key that is taken, the id of its holder.

        :raises JobExists: where a rule says so.
        """
        ...

    def claim_jobs(self, request: ClaimRequest) -> Verb[list[Claim]]:
        """Give the worker up to ``limit`` ready jobs, which become ``running``.

        Inside a queue: larger priority first, then smaller id. Between queues: round-robin that begins after
        ``request.after``, so that a busy queue cannot starve another. Each claim adds one to ``fence``, which never
        goes back, and to ``attempt``. A job whose task the worker does not know is left as it is if another live
        worker knows the task, and becomes ``held`` if none does, so that it cannot slow later claims. A worker that
        was declared dead gets nothing. With ``request.job`` only that job is claimed, if it is ready or waits for its
        limits.
        """
        ...

    def claim_jobs_at_once(self, request: ClaimRequest) -> Verb[ClaimAtOnce]:
        """``claim_jobs`` by the fastest way that the store has.

        It may leave jobs of unknown tasks where they are. It may claim less than it was asked for: from each of at most
        ``MOST_QUEUES`` queues its share, or only jobs after those that were claimed last. The answer then says that it
        is partial.
        """
        ...

    def finish_jobs(self, finishes: Sequence[Finish]) -> Verb[FinishReport]:
        """End attempts. A finish whose ``(id, fence)`` is not the running claim writes nothing and is reported as lost,
        unless the job is found in history under that fence: then the finish had succeeded, and its answer was lost.

        A completion moves the job to history. An ending is kept as an attempt with its error; then the job is
        scheduled ``delay`` from now (``RETRY``; ``SNOOZE`` and ``INVALID``, which give the attempt back), dead, or
        cancelled. A job whose cancellation was requested is cancelled instead of scheduled.

        A confirmation counts what ``finish_job`` completed; if that did not commit, the attempt ends ``otherwise``.
        While its transaction is open, the confirmation is reported undecided and changes nothing.
        """
        ...

    def finish_jobs_at_once(self, completions: Sequence[Completion]) -> Verb[list[int]]:
        """``finish_jobs`` by the fastest way that the store has; the ids of the jobs that it ended. It may leave others
        as they were, for ``finish_jobs``: jobs that have limits or belong to a workflow, and lost claims.
        """
        ...

    def finish_job(self, completion: Completion) -> Verb[bool]:
        """Complete an attempt inside a caller's transaction: move its job to history. ``False`` if the claim is not
        current, and nothing was written.

        Slots, counters and dependants would stay locked until the caller commits. So only a row is left in the outbox,
        and the rest follows after the commit: in ``finish_jobs`` with the worker's ``Confirmation``, or in
        ``rescue_jobs`` if that worker has ended.
        """
        ...

    def return_jobs(self, claims: Sequence[tuple[int, int]], begun: Collection[int] = ()) -> Verb[list[int]]:
        """Give claimed jobs back unrun, with their attempt restored; the ids of those whose claim was current.

        A job whose cancellation was requested is cancelled instead.

        :param begun: the jobs among them that were interrupted: what has begun in time does not expire any more.
        """
        ...

    def promote_jobs(self, limit: int, refused: dict[str, str] | None = None) -> Verb[tuple[int, int | None]]:
        """Make due ``scheduled`` jobs ready, oldest first, and cancel waiting jobs that have expired. How many became
        ready, and the microseconds until there is something to do again.

        :param refused: leave out what the store refuses, by a constraint or a trigger of somebody else, and note here
            what it was and why.
        """
        ...

    def record_progress(self, updates: Sequence[ProgressUpdate]) -> Verb[ProgressReport]:
        """Store progress and log lines of running jobs. A job that is locked by an open transaction is reported, not
        waited for.
        """
        ...

    def prune_jobs(self, request: PruneRequest) -> Verb[int]:
        """Remove final jobs that are past their retention, with their attempts and log lines, at most ``limit`` of each
        kind, at a cost that does not grow with the history. How many jobs were removed.
        """
        ...
