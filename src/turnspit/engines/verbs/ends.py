"""What the end of a job means for its workflow: who waits for nothing more, who is cancelled with it, what is counted.

Only those ends come here whose job belongs to a workflow. Each is followed inside the transaction that ends the job,
level by level, at a cost of its own dependants; what is too much for one transaction is kept, and followed by whoever
tends workflows.
"""

import json
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.brought import Brought
from turnspit.engines.verbs.results import Unmakable, make_arguments, used_jobs
from turnspit.engines.verbs.rows import to_json
from turnspit.records import NewJob, UniqueRule
from turnspit.states import JobState

__all__ = ["End", "EndVerbs", "Outcome", "Tally"]

_MOST_DEPENDANTS = 5000
_MOST_LEVELS = 50


class Outcome(StrEnum):
    """How a job ended, as its dependants see it."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    DELETED = "deleted"
    """No replay can come any more."""
    REPLAYED = "replayed"
    """It lives again."""


class End(NamedTuple):
    """A job of a workflow that ended, or lives again."""

    job: int
    outcome: Outcome
    after: int = 0
    """Its dependants up to this id are done."""


class EndVerbs(Brought):
    """Ends, and what follows from them."""

    @abstractmethod
    def insert_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        """Store many jobs."""

    @abstractmethod
    def take_cancelled(self, ids: Sequence[int], reason: str | None = None) -> Verb[list[Row]]:
        """Move jobs to history as cancelled, and no more: id and workflow of each."""

    def end_jobs(self, rows: Iterable[Row], outcome: Outcome) -> Verb[None]:
        """Jobs ended: ``rows`` are their id and their workflow, ``None`` for those that have none."""
        ended = [(job, workflow) for job, workflow in rows if workflow is not None]
        if not ended:
            return
        tally = Tally()
        for _, workflow in ended:
            tally.add(workflow, outcome)
        yield from self.follow_ends([End(job, outcome) for job, _ in ended], tally)

    def delete_ends(self, rows: Iterable[Row]) -> Verb[None]:
        """Jobs that had not completed are about to be deleted: ``rows`` are id, state and workflow."""
        ended = [row for row in rows if row[2] is not None]
        if not ended:
            return
        tally = Tally()
        for _, state, workflow in ended:
            if state == JobState.DEAD:
                tally.add(workflow, Outcome.REPLAYED, Outcome.DEAD)
            tally.add(workflow, Outcome.CANCELLED)
        yield from self.follow_ends([End(job, Outcome.DELETED) for job, _, _ in ended], tally)

    def follow_ends(self, ends: Sequence[End], tally: "Tally | None" = None) -> Verb[None]:
        """Do what follows from these ends, and count."""
        tally = tally or Tally()
        level, left, budget = list(ends), [], _MOST_DEPENDANTS
        for _ in range(_MOST_LEVELS):
            if not level:
                break
            if budget <= 0:
                break
            level, kept, used = yield from self._follow_level(level, budget, tally)
            left += kept
            budget -= used
        left += level
        if left:
            yield Statement(self.sql["follow_ends_keep"], {"ends": to_json({**end._asdict()} for end in sorted(left))})
            yield Wake(WakeKind.WORKFLOW)
        yield from self._count(tally)

    def _follow_level(self, level: list[End], limit: int, tally: "Tally") -> Verb[tuple[list[End], list[End], int]]:
        """One step away from these ends: the ends that come of it, what is left of these, and how much it was."""
        replayed = [end for end in level if end.outcome is Outcome.REPLAYED]
        ended = {end.job: end for end in level if end.outcome is not Outcome.REPLAYED}
        edges: list[Row] = []
        if ended:
            completed = [job for job, end in ended.items() if end.outcome is Outcome.COMPLETED and not end.after]
            if completed:
                yield Statement(self.sql["follow_ends_results"], {"ids": to_json(completed)})
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
        revived = yield from self._revive_cancelled(replayed, limit, tally)
        if len(revived) == limit:
            left += replayed
        return ends + revived, left, len(edges) + len(revived) + len(level)

    def _settle(self, edges: list[Row], tally: "Tally") -> Verb[list[End]]:
        """These edges hold nobody back any more; the ends of those that cannot run."""
        if not edges:
            return []
        pairs = to_json({"dependency": dependency, "dependant": dependant} for dependency, dependant in edges)
        yield Statement(self.sql["follow_ends_settle"], {"edges": pairs})
        counts = Counter(dependant for _, dependant in edges)
        lines = to_json({"job": job, "count": count} for job, count in sorted(counts.items()))
        rows = yield Statement(self.sql["follow_ends_count"], {"counts": lines})
        return (yield from self.release([job for job, waits_for in rows if waits_for == 0], tally))

    def release(self, jobs: Sequence[int], tally: "Tally", *, ignore_delay: bool = False) -> Verb[list[End]]:
        """Blocked jobs that wait for nothing more begin; the ends of those that cannot."""
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
        made, wrong = yield from self._make_arguments(
            {job: results for job, (results, _) in waiting.items() if results}
        )
        released = [
            {"id": job, "delay": delay, "args": made.get(job)}
            for job, (_, delay) in sorted(waiting.items())
            if job not in wrong
        ]
        if released:
            params = {"now": self.clock.now(), "released": to_json(released)}
            states = {state for _, state in (yield Statement(self.sql["follow_ends_release"], params))}
            if states:
                yield Wake(WakeKind.READY)
            if JobState.SCHEDULED in states:
                yield Wake(WakeKind.SCHEDULED)
        if wrong:
            lines = to_json({"id": job, "reason": reason} for job, reason in sorted(wrong.items()))
            dead = yield Statement(self.sql["follow_ends_dead"], {"now": self.clock.now(), "wrong": lines})
            for _, workflow in dead:
                tally.add(workflow, Outcome.DEAD)
            yield Wake(WakeKind.FINISHED, tuple(job for job, _ in dead))
            ends += [End(job, Outcome.DEAD) for job, _ in dead]
        return ends

    def _make_arguments(self, results: dict[int, str]) -> Verb[tuple[dict[int, str], dict[int, str]]]:
        """The arguments of jobs that take others' results; and why those of some cannot be made."""
        if not results:
            return {}, {}
        specs = {job: json.loads(text) for job, text in results.items()}
        used = sorted({each for spec in specs.values() for each in used_jobs(spec)})
        values: dict[int, str | None] = dict((yield Statement(self.sql["follow_ends_values"], {"ids": to_json(used)})))
        stored: dict[int, str] = dict(
            (yield Statement(self.sql["follow_ends_arguments"], {"ids": to_json(sorted(specs))}))
        )
        made: dict[int, str] = {}
        wrong: dict[int, str] = {}
        for job, args in stored.items():
            try:
                made[job] = make_arguments(args, specs[job], values)
            except Unmakable as error:
                wrong[job] = str(error)
        return made, wrong

    def _doom(self, doomed: dict[int, int], ended: dict[int, End], tally: "Tally") -> Verb[list[End]]:
        """Cancel dependants of jobs that did not complete, as far as they still wait; their ends."""
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

    def _revive_cancelled(self, replayed: list[End], limit: int, tally: "Tally") -> Verb[list[End]]:
        """Those that were cancelled because one of these failed live again too."""
        if not replayed:
            return []
        ids = to_json(end.job for end in replayed)
        rows = yield Statement(self.sql["follow_ends_revive"], {"ids": ids, "limit": limit})
        if not rows:
            return []
        found = yield Statement(self.sql["follow_ends_revivable"], {"ids": to_json(job for job, _ in rows)})
        yield from self.restore_jobs([job for job, _, _ in found])
        return (yield from self.revive_jobs(found, tally))

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
        """Jobs of workflows live again (``rows``: id, the state before, workflow): each waits for those of its
        dependencies that are not done, or with ``is_whole`` for all. Their ends as ``REPLAYED``.
        """
        before = {job: (Outcome(state), workflow) for job, state, workflow in rows if workflow is not None}
        if not before:
            return []
        yield Statement(self.sql["revive_jobs_workflows"], {"ids": to_json({each[1] for each in before.values()})})
        found = yield Statement(self.sql["revive_jobs"], {"ids": to_json(sorted(before))})
        known = [job for (job,) in found]  # a workflow that was forgotten holds nobody back
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
        return dead + [End(job, Outcome.REPLAYED) for job in known]

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
        """All jobs of a workflow are final: its hooks become jobs."""
        yield Wake(WakeKind.WORKFLOW, (workflow,))
        wanted = ("on_complete", "on_failure" if failed else "on_success")
        new = [_hook(name, fields, workflow) for name, fields in json.loads(hooks or "[]") if name in wanted]
        if new:
            yield from self.insert_jobs(new)


class Tally:
    """What happened to the counters of workflows."""

    def __init__(self) -> None:
        self._counts: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def add(self, workflow: int, outcome: Outcome, before: Outcome | None = None) -> None:
        """One job more with this outcome; or, replayed, one less with the one before."""
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
    """What is left of ends whose edges were cut off: they came in order."""
    last, after, _ = edges[-1]
    left = [end for job, end in ended.items() if job > last]
    return [ended[last]._replace(after=after), *left]


def _hook(name: str, fields: dict[str, Any], workflow: int) -> NewJob[Any]:
    metadata = json.loads(fields["metadata"] or "{}") | {"workflow": workflow, "hook": name}
    rule = fields["unique_rule"] and UniqueRule(*fields["unique_rule"])
    if rule and rule.on_conflict == "raise":
        rule = rule._replace(on_conflict="keep")
    return NewJob(**{**fields, "metadata": json.dumps(metadata), "unique_rule": rule})
