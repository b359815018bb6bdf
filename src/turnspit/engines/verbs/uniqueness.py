"""Unique keys: which job holds one, and what becomes of a later job with the same key.

A key is a row in a table of its own, which names its holder. Nothing is written when the holder ends: whether it still
holds the key is looked up when another job wants it. So neither jobs without a key nor the ends of jobs pay for it.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from turnspit.contract.verbs import Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.base import VerbBase
from turnspit.engines.verbs.rows import left_out, to_json
from turnspit.errors import JobExists
from turnspit.records import Inserted, NewJob, OpenClaim
from turnspit.states import WAITING_STATES, JobState

__all__ = ["UniquenessVerbs"]

_LIVE = ",".join(sorted(WAITING_STATES | {JobState.RUNNING}))


class UniquenessVerbs(VerbBase):
    """Keys that at most one job holds."""

    @abstractmethod
    def store_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        """Store jobs whose keys, if they have any, are free; their ids in the order given."""

    @abstractmethod
    def return_jobs(self, claims: Sequence[tuple[int, int]]) -> Verb[list[int]]:
        """Give claimed jobs back unrun."""

    @abstractmethod
    def move_cancelled(self, ids: Sequence[int], reason: str | None = None) -> Verb[None]:
        """Move jobs to history as cancelled."""

    def find_holder(self, new: NewJob[Any]) -> Verb[Inserted | None]:
        """The job that holds a new job's key, with the new one's arguments where its rule says ``replace``."""
        assert new.unique_key is not None
        holders = yield from self._lock_keys([new.unique_key])
        yield from self._replace_holders(holders, [new])
        holder = holders.get(new.unique_key)
        if holder is not None:
            _check_kept(new, holder.id)
        return holder

    def insert_unique_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        """Store those jobs whose keys are free. The id of each, or of the job that holds its key."""
        holders = yield from self._lock_keys(job.unique_key for job in new if job.unique_key)
        _check_all_kept(new, holders)  # before anything is changed: the transaction may be the caller's, who commits it
        yield from self._replace_holders(holders, new)
        stored: list[NewJob[Any]] = []
        places: dict[str, int] = {}
        ends: list[int | Inserted] = []  # a place in ``stored``, or a holder
        for job in new:
            key = job.unique_key or None
            if key is not None and key in holders:
                ends.append(holders[key])
            elif key is not None and key in places:
                if _replaces(job):
                    stored[places[key]] = job
                ends.append(places[key])
            else:
                if key is not None:
                    places[key] = len(stored)
                ends.append(len(stored))
                stored.append(job)
        ids = (yield from self.store_jobs(stored)) if stored else []
        if len(ids) < len(stored):
            raise left_out(job.task for job in stored)
        yield from self.take_keys(list(zip(stored, ids, strict=True)))
        return [ids[end] if isinstance(end, int) else end.id for end in ends]

    def take_keys(self, owners: Iterable[tuple[NewJob[Any], int]]) -> Verb[None]:
        """Make new jobs the holders of their keys."""
        taken = [
            {"key": new.unique_key, "job": job, "states": new.unique_rule.states, "within": new.unique_rule.within}
            for new, job in owners
            if new.unique_rule is not None
        ]
        if taken:
            yield Statement(self.sql["take_keys"], {"now": self.clock.now(), "taken": to_json(taken)})

    def settle_keys(self, claims: Sequence[OpenClaim]) -> Verb[list[int]]:
        holders = yield from self._lock_keys(each.new.unique_key for each in claims if each.new.unique_key)
        going_on: list[int] = []
        for job, fence, new in sorted(claims, key=lambda each: each.id):
            assert new.unique_key is not None
            params = {"now": self.clock.now(), "id": job, "fence": fence, "key": new.unique_key, "delay": new.delay}
            if not (yield Statement(self.sql["settle_keys"], params)):
                continue  # the claim was lost
            if new.unique_key in holders and holders[new.unique_key].id != job:
                yield from self._replace_holders(holders, [new])
            holder = holders.get(new.unique_key)
            if holder is not None and holder.id != job:
                yield from self.return_jobs([(job, fence)])
                yield from self.move_cancelled([job], f"job {holder.id} holds its unique key")
                continue
            yield from self.take_keys([(new, job)])
            holders[new.unique_key] = Inserted(job, JobState.RUNNING, 0, 0)
            if new.delay and (yield Statement(self.sql["settle_keys_put_off"], params)):
                yield Wake(WakeKind.SCHEDULED)
            else:
                going_on.append(job)
        return going_on

    def refuse_taken_keys(self, jobs: Sequence[int]) -> Verb[Mapping[int, JobState]]:
        """Find which final jobs must not be replayed, because another job holds their key: their states by id. The
        others hold their keys from now on.
        """
        if not jobs:
            return {}
        rows = yield Statement(self.sql["refuse_taken_keys"], {"ids": to_json(jobs)})
        if not rows:
            return {}
        holders = yield from self._lock_keys(key for _, key, _ in rows)
        refused: dict[int, JobState] = {}
        taken: dict[str, int] = {}
        for job, key, state in sorted(rows):
            holder = holders.get(key)
            if (holder is None or holder.id == job) and key not in taken:
                taken[key] = job
            else:
                refused[job] = JobState(state)
        owners = to_json({"key": key, "job": taken[key], "states": _LIVE, "within": 0} for key in taken)
        yield Statement(self.sql["take_keys"], {"now": self.clock.now(), "taken": owners})
        return refused

    def prune_keys(self, limit: int) -> Verb[int]:
        params: dict[str, Any] = {"now": self.clock.now(), "limit": limit}
        due = [key for (key,) in (yield Statement(self.sql["prune_keys"], params))]
        if due:
            params["keys"] = to_json(due)
            yield Statement(self.sql["prune_keys_remove"], params)
            yield Statement(self.sql["prune_keys_put_off"], params)
        return len(due)

    def _lock_keys(self, keys: Iterable[str]) -> Verb[dict[str, Inserted]]:
        """Lock these keys until the transaction ends; the jobs that hold them now, by key."""
        wanted = to_json(sorted(set(keys)))  # locked in the same order by everybody
        rows = yield Statement(self.sql["lock_keys"], {"now": self.clock.now(), "keys": wanted})
        if not any(job for _, job, _, _ in rows):
            return {}
        found = yield Statement(self.sql["lock_keys_jobs"], {"ids": to_json(job for _, job, _, _ in rows)})
        jobs = {row[0]: Inserted(row[0], JobState(row[1]), row[2], row[3], created=False) for row in found}
        return {
            key: jobs[job]
            for key, job, states, is_within in rows
            if job in jobs and (is_within or jobs[job].state in states.split(","))
        }

    def _replace_holders(self, holders: dict[str, Inserted], new: Sequence[NewJob[Any]]) -> Verb[None]:
        """Give the holders the arguments and options of the last new job of their key. A holder that has begun loses
        its key instead.
        """
        for key, job in {job.unique_key: job for job in new if _replaces(job)}.items():
            if key is None or key not in holders:
                continue
            params: dict[str, Any] = {**job._asdict(), "now": self.clock.now(), "id": holders[key].id}
            params["longest"] = None if job.unique_rule is None else job.unique_rule.longest
            rows = yield Statement(self.sql["replace_job"], params)
            if rows:
                [(state, run_at)] = rows
                yield Wake(WakeKind.READY if state == JobState.READY else WakeKind.SCHEDULED)
                holders[key] = holders[key]._replace(state=JobState(state), run_at=run_at)
            else:
                del holders[key]


def _replaces(new: NewJob[Any]) -> bool:
    return new.unique_rule is not None and new.unique_rule.on_conflict == "replace"


def _check_all_kept(new: Sequence[NewJob[Any]], holders: Mapping[str, Inserted]) -> None:
    """``_check_kept`` for jobs of one call."""
    earlier: set[str] = set()
    for job in new:
        if job.unique_key:
            if job.unique_key in holders:
                _check_kept(job, holders[job.unique_key].id)
            elif job.unique_key in earlier:
                _check_kept(job, None)
            earlier.add(job.unique_key)


def _check_kept(new: NewJob[Any], holder: int | None) -> None:
    """Raise if the rule of a job whose key is taken says so.

    :param holder: ``None`` for an earlier job of the same call.
    """
    if new.unique_rule is not None and new.unique_rule.on_conflict == "raise":
        who = "an earlier job of the same call" if holder is None else f"job {holder}"
        raise JobExists(f"{new.task}: {who} holds the unique key {new.unique_key}; nothing was stored", holder)
