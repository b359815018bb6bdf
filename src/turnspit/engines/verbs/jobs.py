"""The verbs of ``contract/jobs.py``, on any engine."""

from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.claims import ClaimVerbs
from turnspit.engines.verbs.ends import EndVerbs, Outcome
from turnspit.engines.verbs.limits import LimitVerbs
from turnspit.engines.verbs.rows import has_a_time, left_out, to_json
from turnspit.engines.verbs.uniqueness import UniquenessVerbs
from turnspit.records import (
    ClaimAtOnce,
    ClaimRequest,
    Completion,
    Confirmation,
    Ending,
    EndingMove,
    Finish,
    FinishReport,
    Inserted,
    NewJob,
    ProgressReport,
    ProgressUpdate,
    PruneRequest,
)
from turnspit.states import JobState

__all__ = ["OF_NOTHING", "JobVerbs", "inserted_as"]

OF_NOTHING = ("null", None, None)
"""The fields of a ``Completion`` after id and fence if the task returned ``None``, which is the most common case."""

_PLAIN = 4
"""The first four fields of a new job are its task, queue, arguments and priority. The others are options."""
_NO_OPTIONS = NewJob("", "", "")[_PLAIN:]
_READY = Wake(WakeKind.READY)
_TOGETHER = {
    EndingMove.RETRY: "finish_jobs_reschedule_all",
    EndingMove.SNOOZE: "finish_jobs_reschedule_all",
    EndingMove.DEAD: "finish_jobs_dead_all",
}
"""Moves that many jobs make together, and the statements by which they do."""


def inserted_as(new: NewJob[Any], rows: list[Row]) -> Verb[Inserted]:
    """What became of a new job, by the row that was stored, and its wakes."""
    [(job_id, state, run_at, created_at)] = rows
    inserted = Inserted(job_id, JobState(state), run_at, created_at)
    is_scheduled = inserted.state is JobState.SCHEDULED
    yield Wake(WakeKind.SCHEDULED if is_scheduled else WakeKind.READY)
    if has_a_time(new) and not is_scheduled:
        yield Wake(WakeKind.SCHEDULED)
    return inserted


class JobVerbs(ClaimVerbs, UniquenessVerbs, LimitVerbs, EndVerbs):
    """Jobs on their way from enqueued to ended."""

    def check_new(self, new: NewJob[Any]) -> None:
        """Refuse a job that the engine could not store.

        :raises InvalidPayload: saying why.
        """

    def only_new(self, verb: Callable[..., object], args: tuple[Any, ...]) -> NewJob[Any] | None:
        """The job of a call that only inserts this one job, which ``insert_each`` can then store with others."""
        return args[0] if verb == self.insert_job and args[0].unique_rule is None else None

    @abstractmethod
    def insert_each(self, new: Sequence[NewJob[Any]]) -> Verb[list[Inserted]]:
        """``insert_job`` for the jobs of several calls at once, none of them with a unique key."""

    def insert_job(self, new: NewJob[Any]) -> Verb[Inserted]:
        self.check_new(new)
        if new.unique_rule is not None and (holder := (yield from self.find_holder(new))) is not None:
            return holder
        if new[_PLAIN:] == _NO_OPTIONS:
            task, queue, args, priority = new[:_PLAIN]
            plain = {"task": task, "queue": queue, "args": args, "priority": priority, "now": self.clock.now()}
            statement = Statement(self.sql["insert_plain_job"], plain, ends=True, wake=_READY)
            rows = yield statement
            if not rows:
                raise left_out([new.task])
            [(job_id, _, run_at, created_at)] = rows
            return Inserted(job_id, JobState.READY, run_at, created_at)
        params = new._asdict() | {"now": self.clock.now()}
        rows = yield Statement(self.sql["insert_job"], params, ends=new.unique_rule is None)
        if not rows:
            raise left_out([new.task])
        inserted = yield from inserted_as(new, rows)
        yield from self.take_keys([(new, inserted.id)])
        return inserted

    def insert_job_at_once(self, new: NewJob[Any]) -> Verb[Inserted | None]:
        yield from ()
        return None

    def insert_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        for job in new:
            self.check_new(job)
        if any(job.unique_rule is not None for job in new):
            return (yield from self.insert_unique_jobs(new))
        return (yield from self.store_jobs(new))

    def claim_jobs_at_once(self, request: ClaimRequest) -> Verb[ClaimAtOnce]:
        return ClaimAtOnce((yield from self.claim_jobs(request)), is_partial=False)

    def finish_jobs(self, finishes: Sequence[Finish]) -> Verb[FinishReport]:
        report = FinishReport()
        completions = [finish for finish in finishes if isinstance(finish, Completion)]
        if completions:
            yield from self._finish_completed(completions, report)
        many = [finish for finish in finishes if isinstance(finish, Ending) and finish.move in _TOGETHER]
        stored = (yield from self._finish_together(many, report)) if len(many) > 1 else set[tuple[int, int]]()
        for finish in finishes:
            if isinstance(finish, Ending) and (finish.id, finish.fence) not in stored:
                yield from self._finish_ending(finish, report)
            elif isinstance(finish, Confirmation):
                yield from self._confirm(finish, report)
        ended = [job for job, state in report.states.items() if state.is_final]
        if completions or ended:
            yield Wake(WakeKind.FINISHED, (*(each.id for each in completions), *ended))
        if JobState.SCHEDULED in report.states.values():
            yield Wake(WakeKind.SCHEDULED)
        if not {JobState.READY, JobState.HELD}.isdisjoint(report.states.values()):
            yield Wake(WakeKind.READY)
        return report

    def finish_jobs_at_once(self, completions: Sequence[Completion]) -> Verb[list[int]]:
        report = yield from self.finish_jobs(completions)
        lost = {job for job, _ in report.lost}
        return [each.id for each in completions if each.id not in lost]

    @abstractmethod
    def _finish_completed(self, completions: list[Completion], report: FinishReport) -> Verb[None]:
        """Move completed jobs to history and count them."""

    def _report_lost(self, missing: list[Completion], report: FinishReport) -> Verb[None]:
        """Report completions without a running claim as lost, unless an earlier try has already stored them."""
        if missing:
            ids = to_json(each.id for each in missing)
            before = yield Statement(self.sql["finish_jobs_done_before"], {"ids": ids})
            report.lost += [(each.id, each.fence) for each in missing if (each.id, each.fence) not in before]

    def finish_job(self, completion: Completion) -> Verb[bool]:
        params = {"now": self.clock.now(), **completion._asdict()}
        if not (yield Statement(self.sql["finish_job"], params)):
            return False
        yield Statement(self.sql["finish_job_outbox"], params)
        yield Statement(self.sql["finish_job_remove"], params)
        return True

    def _confirm(self, confirmation: Confirmation, report: FinishReport) -> Verb[None]:
        claim = (confirmation.id, confirmation.fence)
        params = {"id": confirmation.id, "fence": confirmation.fence, "ids": to_json([confirmation.id])}
        if (yield from self.settle_outbox("finish_jobs_outbox", params)):
            return
        is_free = yield Statement(self.sql["finish_jobs_is_free"], params)
        if claim in (yield Statement(self.sql["finish_jobs_done_before"], params)):
            return  # it committed just now, or was settled by another worker, which took this one for dead
        if is_free == [(False,)]:
            report.undecided.add(claim)
        else:
            yield from self._finish_ending(confirmation.otherwise, report)

    def settle_outbox(self, block: str, params: dict[str, Any]) -> Verb[bool]:
        """Do what follows the commit of ``finish_job``.

        :param block: the statement that removes and returns the rows of the outbox that are to be settled.
        :returns: whether there were any.
        """
        rows = yield Statement(self.sql[block], params)
        if rows:
            yield from self.count_outcomes([row[:4] for row in rows], "completed")
            yield from self.free_slots([row[0] for row in rows], "free_slots_of_ended")
            yield Wake(WakeKind.FINISHED, tuple(row[0] for row in rows))
            yield from self.end_jobs([(row[0], row[4]) for row in rows], Outcome.COMPLETED)
        return bool(rows)

    def count_outcomes(self, rows: list[Row], outcome: str) -> Verb[None]:
        """Count ended attempts, of which ``rows`` has id, queue, task and run time."""
        counts: Counter[tuple[str, str]] = Counter()
        run_times: defaultdict[tuple[str, str], int] = defaultdict(int)
        for _, queue, task, run_time in rows:
            counts[queue, task] += 1
            run_times[queue, task] += run_time or 0
        yield from self.count_attempts(
            outcome, [(queue, task, count, run_times[queue, task]) for (queue, task), count in counts.items()]
        )

    def count_attempts(self, outcome: str, counts: Sequence[tuple[str, str, int, int]]) -> Verb[None]:
        """Count ended attempts, given as queue, task, how many, and their total run time."""
        if counts:
            params = {"now": self.clock.now(), "outcome": outcome, "counts": to_json(sorted(counts))}
            yield Statement(self.sql["count_outcomes"], params)

    def _finish_together(self, endings: Sequence[Ending], report: FinishReport) -> Verb[set[tuple[int, int]]]:
        """Store many attempts that did not complete, as when a service that their task calls is down.

        :returns: the ids and fences of those stored. The others have a limit, are to be cancelled, or lost their claim.
        """
        now, by_claim = self.clock.now(), {(ending.id, ending.fence): ending for ending in endings}
        params: dict[str, Any] = {"now": now, "ids": to_json(sorted({job for job, _ in by_claim}))}
        rows = yield Statement(self.sql["finish_jobs_find_all"], params)
        found = [(by_claim[job, fence], row) for job, fence, *row in rows if (job, fence) in by_claim]
        for move, block in _TOGETHER.items():
            moved = [(end, row) for end, row in found if end.move is move]
            if not moved:
                continue
            errors = to_json((end.id, *end.error, end.delay) for end, _ in moved)
            give_back = int(move is EndingMove.SNOOZE)
            params = {"now": now, "outcome": str(move), "errors": errors, "give_back": give_back}
            yield Statement(self.sql["finish_jobs_attempts"], params)
            yield from self.count_outcomes([(end.id, *row[:3]) for end, row in moved], str(move))
            yield Statement(self.sql[block], params)
        for end, _ in found:
            waits = JobState.SCHEDULED if end.delay else JobState.READY
            report.states[end.id] = JobState.DEAD if end.move is EndingMove.DEAD else waits
        yield from self.end_jobs([(end.id, row[3]) for end, row in found if end.move is EndingMove.DEAD], Outcome.DEAD)
        return {(end.id, end.fence) for end, _ in found}

    def _finish_ending(self, ending: Ending, report: FinishReport) -> Verb[None]:
        params: dict[str, Any] = {"now": self.clock.now(), "id": ending.id, "fence": ending.fence}
        params |= {"traceback": ending.error.traceback, "fingerprint": ending.error.fingerprint}
        found = yield Statement(self.sql["finish_jobs_find"], params)
        if not found:
            yield from self._find_stored_before(ending, report)
            return
        [(queue, task, cancel_requested_at, reason, invalid_since, now, run_time, lane, workflow)] = found
        move = ending.move
        if move is EndingMove.INVALID and now - invalid_since >= ending.patience:
            move = EndingMove.DEAD
        params |= {
            "outcome": str(move),
            "error_type": ending.error.type,
            "error_message": ending.error.message,
            "invalid_since": invalid_since if move is EndingMove.INVALID else None,
        }
        yield Statement(self.sql["finish_jobs_attempt"], params)
        yield from self.count_outcomes([(ending.id, queue, task, run_time)], str(move))
        if lane is not None:
            yield from self._end_limited(ending, lane)
        if move is EndingMove.DEAD:
            yield Statement(self.sql["finish_jobs_dead"], params)
            report.states[ending.id] = JobState.DEAD
            yield from self.end_jobs([(ending.id, workflow)], Outcome.DEAD)
        elif move is EndingMove.CANCEL or cancel_requested_at is not None:
            # The stored reason may be the error of an earlier attempt: it counts only if somebody requested the end.
            why = reason if cancel_requested_at is not None else None
            yield from self.move_cancelled([ending.id], why or ending.error.message)
            report.states[ending.id] = JobState.CANCELLED
        else:
            give_back = int(move is not EndingMove.RETRY)
            yield Statement(
                self.sql["finish_jobs_reschedule"], params | {"delay": ending.delay, "give_back": give_back}
            )
            at_once = JobState.READY if lane is None else JobState.HELD
            report.states[ending.id] = JobState.SCHEDULED if ending.delay else at_once

    def _find_stored_before(self, ending: Ending, report: FinishReport) -> Verb[None]:
        """Report an ending without a running claim as lost, unless an earlier try has already stored it."""
        params = {"id": ending.id, "fence": ending.fence}
        stored = yield Statement(self.sql["finish_jobs_ended_before"], params)
        outcome, is_cancelled = stored[0] if stored else (None, False)
        if outcome not in set(EndingMove):
            report.lost.append((ending.id, ending.fence))
        elif outcome == EndingMove.DEAD:
            report.states.setdefault(ending.id, JobState.DEAD)
        else:
            waits = JobState.SCHEDULED if ending.delay else JobState.READY
            report.states.setdefault(ending.id, JobState.CANCELLED if is_cancelled else waits)

    def _end_limited(self, ending: Ending, lane: str) -> Verb[None]:
        yield from self.free_slots([ending.id])
        if ending.holds_back:
            yield from self.hold_back(lane, ending.delay)

    def move_cancelled(self, ids: Sequence[int], reason: str | None = None) -> Verb[None]:
        """Move jobs to history as cancelled. Without a ``reason`` they keep the one that they have."""
        rows = yield from self.take_cancelled(ids, reason)
        yield from self.end_jobs(rows, Outcome.CANCELLED)

    def take_cancelled(self, ids: Sequence[int], reason: str | None = None) -> Verb[list[Row]]:
        params = {"now": self.clock.now(), "ids": to_json(ids), "reason": reason}
        rows = yield Statement(self.sql["move_cancelled"], params)
        yield Statement(self.sql["move_cancelled_remove"], params)
        yield Wake(WakeKind.FINISHED, tuple(ids))
        return rows

    def return_jobs(self, claims: Sequence[tuple[int, int]], begun: Collection[int] = ()) -> Verb[list[int]]:
        rows = yield Statement(self.sql["return_jobs"], {"claims": to_json(claims), "begun": to_json(sorted(begun))})
        cancelled = [job for job, cancel_requested_at, _ in rows if cancel_requested_at is not None]
        yield from self.free_slots([job for job, _, lane in rows if lane is not None])
        if cancelled:
            yield from self.move_cancelled(cancelled)
        if len(rows) > len(cancelled):
            yield Wake(WakeKind.READY)
        return [job for job, _, _ in rows]

    def promote_jobs(self, limit: int, refused: dict[str, str] | None = None) -> Verb[tuple[int, int | None]]:
        params = {"now": self.clock.now(), "limit": limit}
        promoted = yield from self.move_due("promote_jobs_due", self._make_ready, params, refused)
        if promoted:
            yield Wake(WakeKind.READY)
        [(until_due, until_late)] = yield Statement(self.sql["promote_jobs_next"], params)
        if until_late is not None and until_late <= 0:
            yield from self.move_due("promote_jobs_late", self._expire, params, refused)
            [(until_due, until_late)] = yield Statement(self.sql["promote_jobs_next"], params)
        return promoted, min((until for until in (until_due, until_late) if until is not None), default=None)

    def move_due(
        self,
        block: str,
        move: Callable[[str, Mapping[str, Any]], Verb[int]],
        params: Mapping[str, Any],
        refused: dict[str, str] | None,
    ) -> Verb[int]:
        """Move the jobs that this block selects: at once, or by halves; how many."""
        if refused is None:
            return (yield from move(self.sql[block], params))
        due = {f"job {job}": job for (job,) in (yield Statement(self.sql[block], params))}
        chosen = self.sql["promote_jobs_chosen"]
        moved = yield from self.by_halves(lambda ids: move(chosen, {**params, "ids": to_json(ids)}), due, refused)
        return sum(moved)

    def _make_ready(self, which: str, params: Mapping[str, Any]) -> Verb[int]:
        return len((yield Statement(self.sql["promote_jobs"].replace("{which}", which), params)))

    def _expire(self, which: str, params: Mapping[str, Any]) -> Verb[int]:
        expired = yield Statement(self.sql["promote_jobs_expired"].replace("{which}", which), params)
        if expired:
            yield from self.move_cancelled([job for (job,) in expired])
        return len(expired)

    def record_progress(self, updates: Sequence[ProgressUpdate]) -> Verb[ProgressReport]:
        report = ProgressReport()
        for update in updates:
            params = {
                "id": update.id,
                "fence": update.fence,
                "progress": update.progress,
                "message": update.message,
                "data": update.data,
                "cursor": update.cursor,
            }
            if not (yield Statement(self.sql["record_progress"], params)):
                if (yield Statement(self.sql["record_progress_locked"], {"id": update.id, "fence": update.fence})):
                    report.locked.add((update.id, update.fence))
                else:
                    report.lost.append((update.id, update.fence))
                continue
            for line in update.lines:
                moment = self.clock.now() if line.at is None else line.at
                yield Statement(self.sql["record_progress_log"], line._asdict() | {"id": update.id, "now": moment})
        return report

    def prune_jobs(self, request: PruneRequest) -> Verb[int]:
        params = {"now": self.clock.now(), "limit": request.limit}
        params |= {"history": request.history, "dead": request.dead}
        removed = 0
        if request.history is not None:
            old = [job for (job,) in (yield Statement(self.sql["prune_jobs_old"], params))]
            if old:
                yield from self.remove_rows("remove_history", old)
            removed += len(old)
        if request.dead is not None:
            dead = yield Statement(self.sql["prune_jobs_dead"], params)
            yield from self.delete_ends(dead)
            if dead:
                yield from self.remove_rows("remove_jobs", [job for job, _, _ in dead])
            removed += len(dead)
        removed += len((yield Statement(self.sql["prune_jobs_results"], params)))
        yield Statement(self.sql["prune_jobs_counters"], params)
        if request.history is not None:
            yield Statement(self.sql["prune_jobs_workers"], params)
        return removed

    def remove_rows(self, remove: str, ids: Sequence[int]) -> Verb[None]:
        """Remove jobs from one table (block ``remove``) with their attempts and log lines."""
        params = {"ids": to_json(ids)}
        for block in (remove, "remove_attempts", "remove_logs"):
            yield Statement(self.sql[block], params)
