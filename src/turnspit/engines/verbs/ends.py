"""What the end of a job means for its workflow: which dependants can run now, which are cancelled, what is counted.

Only jobs of workflows are handled here. Ends are followed inside the transaction that ends the job, one level of
dependants after the other, so that the cost is that of the job's own dependants. What is too much for one transaction
is stored, and followed later by ``tend_workflows``.
"""

import json
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.base import VerbBase
from turnspit.engines.verbs.results import Unmakable, make_arguments, used_jobs
from turnspit.engines.verbs.rows import to_json
from turnspit.records import NewJob, UniqueRule
from turnspit.states import JobState

__all__ = ["End", "EndVerbs", "Outcome", "Tally"]

_MOST_DEPENDANTS = 5000
_MOST_LEVELS = 50
_MOST_TEXT = 4_000_000
"""Of arguments in one statement, beside those of one job: a large result may become an argument of thousands."""


class Outcome(StrEnum):
    """How a job ended, as its dependants see it."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    DELETED = "deleted"
    """It can never be replayed."""
    REPLAYED = "replayed"
    """It lives again."""


class End(NamedTuple):
    """A job of a workflow that ended, or lives again."""

    job: int
    outcome: Outcome
    after: int = 0
    """Its dependants up to this id have been handled."""


class EndVerbs(VerbBase):
    """Ends of jobs, and what follows from them."""

    @abstractmethod
    def insert_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        """Store many jobs."""

    @abstractmethod
    def take_cancelled(self, ids: Sequence[int], reason: str | None = None) -> Verb[list[Row]]:
        """Move jobs to history as cancelled, without following their ends: id and workflow of each."""

    def end_jobs(self, rows: Iterable[Row], outcome: Outcome) -> Verb[None]:
        """Count and follow the ends of jobs. ``rows`` has id and workflow of each, which may be ``None``."""
        ended = [(job, workflow) for job, workflow in rows if workflow is not None]
        if not ended:
            return
        tally = Tally()
        for _, workflow in ended:
            tally.add(workflow, outcome)
        yield from self.follow_ends([End(job, outcome) for job, _ in ended], tally)

    def delete_ends(self, rows: Iterable[Row]) -> Verb[None]:
        """Count and follow the ends of jobs that did not complete and are about to be deleted.

        :param rows: id, state and workflow of each.
        """
        ended = [row for row in rows if row[2] is not None]
        if not ended:
            return
        tally = Tally()
        for _, state, workflow in ended:
            if state == JobState.CANCELLED:
                continue  # it is counted as such already
            if state == JobState.DEAD:
                tally.add(workflow, Outcome.REPLAYED, Outcome.DEAD)
            tally.add(workflow, Outcome.CANCELLED)
        yield from self.follow_ends([End(job, Outcome.DELETED) for job, _, _ in ended], tally)

    def follow_ends(self, ends: Sequence[End], tally: "Tally | None" = None) -> Verb[None]:
        """Do what follows from these ends, and store the counts."""
        tally = tally or Tally()
        level, left, budget = list(ends), [], _MOST_DEPENDANTS
        for _ in range(_MOST_LEVELS):
            if not level or budget <= 0:
                break
            level, kept, used = yield from self._follow_level(level, budget, tally)
            left += kept
            budget -= used
        left += level
        if left:
            yield Statement(self.sql["follow_ends_keep"], {"ends": to_json(end._asdict() for end in sorted(left))})
            yield Wake(WakeKind.WORKFLOW)
        yield from self._count(tally)

    def _follow_level(self, level: list[End], limit: int, tally: "Tally") -> Verb[tuple[list[End], list[End], int]]:
        """Handle the dependants of these ends.

        :param limit: of dependants.
        :returns: the ends that follow from it, those of these ends that have dependants left, and how much was done.
        """
        replayed = [end for end in level if end.outcome is Outcome.REPLAYED]
        ended = {end.job: end for end in level if end.outcome is not Outcome.REPLAYED}
        edges: list[Row] = []
        if ended:
            # Also of those that failed: they may have completed before they were replayed.
            told = [job for job, end in ended.items() if end.outcome is not Outcome.DELETED and not end.after]
            if told:
                yield Statement(self.sql["follow_ends_results"], {"ids": to_json(told)})
            starts = to_json({"job": end.job, "after": end.after} for end in ended.values())
            edges = yield Statement(self.sql["follow_ends"], {"ends": starts, "limit": limit})
        left = _left_over(ended, edges) if len(edges) == limit else []
        settled: list[Row] = []
        doomed: dict[int, int] = {}
        for dependency, dependant, on_failure in edges:
            outcome = ended[dependency].outcome
            if outcome is Outcome.COMPLETED or on_failure == "run":
                settled.append((dependency, dependant))
            elif on_failure == "cancel" or outcome is Outcome.DELETED:
                doomed.setdefault(dependant, dependency)
        ends = yield from self._settle(settled, tally)
        ends += yield from self._doom(doomed, ended, tally)
        revived, is_more = yield from self._revive_cancelled(replayed, limit, tally)
        if is_more:
            left += replayed
        return ends + revived, left, len(edges) + len(revived) + len(level)

    def _settle(self, edges: list[Row], tally: "Tally") -> Verb[list[End]]:
        """Settle these edges, and release dependants that wait for nothing more; the ends of those that cannot run."""
        if not edges:
            return []
        pairs = to_json({"dependency": dependency, "dependant": dependant} for dependency, dependant in edges)
        yield Statement(self.sql["follow_ends_settle"], {"edges": pairs})
        counts = Counter(dependant for _, dependant in edges)
        lines = to_json({"job": job, "count": count} for job, count in sorted(counts.items()))
        rows = yield Statement(self.sql["follow_ends_count"], {"counts": lines})
        return (yield from self.release([job for job, waits_for in rows if waits_for == 0], tally))

    def release(self, jobs: Sequence[int], tally: "Tally", *, ignore_delay: bool = False) -> Verb[list[End]]:
        """Make blocked jobs ready that wait for nothing more; the ends of those that cannot run."""
        if not jobs:
            return []
        rows = yield Statement(self.sql["follow_ends_waiting"], {"ids": to_json(sorted(jobs))})
        cancelled = [job for job, _, _, is_cancelled in rows if is_cancelled]
        waiting = {
            job: (results, 0 if ignore_delay else delay)
            for job, results, delay, is_cancelled in rows
            if not is_cancelled
        }
        ends = yield from self._doom_all(cancelled, tally)
        make = yield from self._arguments({job: results for job, (results, _) in waiting.items() if results})
        wrong: dict[int, str] = {}
        released: list[dict[str, Any]] = []
        size = 0
        for job, (results, after) in sorted(waiting.items()):
            try:
                args = make(job) if results else None
            except Unmakable as error:
                wrong[job] = str(error)
                continue
            released.append({"id": job, "delay": after, "args": args})
            size += len(args or "")
            if size >= _MOST_TEXT:
                yield from self._release(released)
                released, size = [], 0
        yield from self._release(released)
        if wrong:
            lines = to_json({"id": job, "reason": reason} for job, reason in sorted(wrong.items()))
            dead = yield Statement(self.sql["follow_ends_dead"], {"now": self.clock.now(), "wrong": lines})
            for _, workflow in dead:
                tally.add(workflow, Outcome.DEAD)
            yield Wake(WakeKind.FINISHED, tuple(job for job, _ in dead))
            ends += [End(job, Outcome.DEAD) for job, _ in dead]
        return ends

    def _release(self, released: Sequence[dict[str, Any]]) -> Verb[None]:
        if not released:
            return
        params = {"now": self.clock.now(), "released": to_json(released)}
        states = {state for _, state in (yield Statement(self.sql["follow_ends_release"], params))}
        if states:
            yield Wake(WakeKind.READY)
        if JobState.SCHEDULED in states:
            yield Wake(WakeKind.SCHEDULED)

    def _arguments(self, results: dict[int, str]) -> Verb[Callable[[int], str | None]]:
        """A function that makes the arguments of one of these jobs, which use results of others: ``None`` if the job is
        no longer blocked. It raises ``Unmakable`` if it cannot make them.
        """
        specs = {job: json.loads(text) for job, text in results.items()}
        values: dict[int, str | None] = {}
        stored: dict[int, str] = {}
        if specs:
            used = sorted({each for spec in specs.values() for each in used_jobs(spec)})
            values = dict((yield Statement(self.sql["follow_ends_values"], {"ids": to_json(used)})))
            stored = dict((yield Statement(self.sql["follow_ends_arguments"], {"ids": to_json(sorted(specs))})))
        return lambda job: make_arguments(stored[job], specs[job], values) if job in stored else None

    def _doom(self, doomed: dict[int, int], ended: dict[int, End], tally: "Tally") -> Verb[list[End]]:
        """Cancel the dependants of jobs that did not complete, if they still wait; the ends of those cancelled.

        :param doomed: the dependency to blame, by dependant.
        """
        if not doomed:
            return []
        reasons = {job: f"job {by}, for which it waited, is {ended[by].outcome}" for job, by in doomed.items()}
        ends = yield from self._cancel(reasons, tally)
        by = to_json({"id": end.job, "dependency": doomed[end.job]} for end in ends)
        yield Statement(self.sql["follow_ends_doomed_by"], {"doomed": by})
        return ends

    def _doom_all(self, jobs: list[int], tally: "Tally") -> Verb[list[End]]:
        return (yield from self._cancel(dict.fromkeys(jobs, "its workflow was cancelled"), tally)) if jobs else []

    def _cancel(self, reasons: dict[int, str], tally: "Tally") -> Verb[list[End]]:
        lines = to_json({"id": job, "reason": reason} for job, reason in sorted(reasons.items()))
        rows = yield Statement(self.sql["follow_ends_doom"], {"doomed": lines})
        if not rows:
            return []
        moved = yield from self.take_cancelled([job for (job,) in rows])
        for _, workflow in moved:
            tally.add(workflow, Outcome.CANCELLED)
        return [End(job, Outcome.CANCELLED) for job, _ in moved]

    def _revive_cancelled(self, replayed: list[End], limit: int, tally: "Tally") -> Verb[tuple[list[End], bool]]:
        """Revive jobs that were cancelled because one of these had failed, at most ``limit`` of them.

        :returns: their ends, as ``revive_jobs`` does, and whether there may be more.
        """
        if not replayed:
            return [], False
        ids = to_json(end.job for end in replayed)
        rows = yield Statement(self.sql["follow_ends_revive"], {"ids": ids, "limit": limit})
        if not rows:
            return [], False
        found = yield Statement(self.sql["follow_ends_revivable"], {"ids": to_json(job for job, _ in rows)})
        gone = {job for job, _ in rows} - {job for job, _, _ in found}
        if gone:
            yield Statement(self.sql["follow_ends_gone"], {"ids": to_json(sorted(gone))})
        yield from self.restore_jobs([job for job, _, _ in found])
        return (yield from self.revive_jobs(found, tally)), len(rows) == limit

    def restore_jobs(self, ids: Sequence[int]) -> Verb[list[Row]]:
        """Bring jobs back from history: id, state and workflow of each."""
        if not ids:
            return []
        params = {"now": self.clock.now(), "ids": to_json(ids)}
        yield Statement(self.sql["replay_jobs_keep_attempt"], params)
        rows = yield Statement(self.sql["replay_jobs_restore"], params)
        yield Statement(self.sql["remove_history"], params)
        return rows

    def revive_jobs(self, rows: Sequence[Row], tally: "Tally", *, is_whole: bool = False) -> Verb[list[End]]:
        """Let replayed jobs wait again for those of their dependencies that are not done, or with ``is_whole`` for all.

        :param rows: id, former state and workflow of each.
        :returns: their ends, as ``REPLAYED``, and the ends of those that cannot run.
        """
        before = {job: (Outcome(state), workflow) for job, state, workflow in rows if workflow is not None}
        if not before:
            return []
        yield Statement(self.sql["revive_jobs_workflows"], {"ids": to_json({each[1] for each in before.values()})})
        found = yield Statement(self.sql["revive_jobs"], {"ids": to_json(sorted(before))})
        known = [job for (job,) in found]  # not those whose workflow was pruned: they wait for nothing
        ids = to_json(known)
        yield Statement(self.sql["revive_jobs_block"], {"ids": ids})
        yield Statement(self.sql["revive_jobs_unsettle"], {"ids": ids, "is_whole": int(is_whole)})
        waiting = yield Statement(self.sql["revive_jobs_count"], {"ids": ids})
        for job in known:
            tally.add(before[job][1], Outcome.REPLAYED, before[job][0])
        if is_whole:
            return []
        free = [job for job, waits_for in waiting if not waits_for]
        dead = yield from self.release(free, tally, ignore_delay=True)
        gone = yield Statement(self.sql["revive_jobs_gone"], {"ids": ids})
        ends = [End(job, Outcome.DELETED) for (job,) in gone]  # as when they were deleted: no replay of theirs can come
        ended_again = {end.job for end in dead}  # what it had cancelled stays cancelled
        return dead + ends + [End(job, Outcome.REPLAYED) for job in known if job not in ended_again]

    def _count(self, tally: "Tally") -> Verb[None]:
        lines = tally.lines()
        if not lines:
            return
        params = {"now": self.clock.now(), "tally": to_json(lines)}
        rows = yield Statement(self.sql["follow_ends_workflows"], params)
        for workflow, is_ended, failed, hooks in rows:
            if is_ended and tally.has_ended_some(workflow):
                yield from self.end_workflow(workflow, bool(failed), hooks)

    def end_workflow(self, workflow: int, failed: bool, hooks: str | None) -> Verb[None]:
        """Enqueue the hooks of a workflow whose jobs are all final."""
        yield Wake(WakeKind.WORKFLOW, (workflow,))
        wanted = ("on_complete", "on_failure" if failed else "on_success")
        new = [_hook(name, fields, workflow) for name, fields in json.loads(hooks or "[]") if name in wanted]
        if new:
            yield from self.insert_jobs(new)


class Tally:
    """Changes to the counters of workflows."""

    def __init__(self) -> None:
        self._counts: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def add(self, workflow: int, outcome: Outcome, before: Outcome | None = None) -> None:
        """Count one more job with this outcome; or, if it was replayed, one less with the outcome ``before``."""
        counts = self._counts[workflow]
        if before is not None:
            counts[before] -= 1
            counts["unfinished"] += 1
        else:
            counts[outcome] += 1
            counts["unfinished"] -= 1

    def has_ended_some(self, workflow: int) -> bool:
        """Whether fewer of its jobs are unfinished than before."""
        return self._counts[workflow]["unfinished"] < 0

    def lines(self) -> list[dict[str, int]]:
        """The changes, by workflow."""
        names = ("unfinished", Outcome.COMPLETED, Outcome.CANCELLED, Outcome.DEAD)
        return [
            {"workflow": workflow, **{str(name): counts[name] for name in names}}
            for workflow, counts in sorted(self._counts.items())
        ]


def _left_over(ended: dict[int, End], edges: list[Row]) -> list[End]:
    """The ends that have dependants left, where the limit cut the edges off. Edges come in the order of ``ended``."""
    last, after, _ = edges[-1]
    left = [end for job, end in ended.items() if job > last]
    return [ended[last]._replace(after=after), *left]


def _hook(name: str, fields: dict[str, Any], workflow: int) -> NewJob[Any]:
    metadata = json.loads(fields["metadata"] or "{}") | {"workflow": workflow, "hook": name}
    rule = fields["unique_rule"] and UniqueRule(*fields["unique_rule"])
    if rule and rule.on_conflict == "raise":
        rule = rule._replace(on_conflict="keep")
    return NewJob(**{**fields, "metadata": json.dumps(metadata), "unique_rule": rule})
