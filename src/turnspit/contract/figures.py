"""What is shown of a store, at a cost that does not grow with it: every verb here looks at a bounded number of rows."""

from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.jobs import JobFilter
from turnspit.records import CounterRecord, FoundJobs, MatchCount, RecentDead, RunSample, StoreCounts

__all__ = ["Figures"]


class Figures(Protocol):
    """The verbs of screens and metrics. They change nothing."""

    def count_queues(self, most: int) -> Verb[StoreCounts]:
        """Every queue that has live jobs or dead letters, by name; ready jobs counted up to ``most`` for each queue,
        those of every other state up to ``most`` in all: the ones due first, and the newest dead letters.
        """
        ...

    def list_counters(self, span: int, step: int) -> Verb[list[CounterRecord]]:
        """The attempts that ended in the last ``span`` minutes, in slots of ``step`` minutes, oldest first."""
        ...

    def sample_runs(
        self, slots: int, width: int, depth: int, queue: str | None, task: str | None
    ) -> Verb[list[RunSample]]:
        """Of each of the last ``slots`` slots of ``width`` microseconds, the newest ending now, the completed jobs of
        this queue and task among the first ``depth`` that ended in it.
        """
        ...

    def search_jobs(self, filter_: JobFilter, limit: int, before: int | None, depth: int) -> Verb[FoundJobs]:
        """The newest jobs that match with an id below ``before``, as ``list_jobs``; where no index leads to them,
        among the newest ``depth`` live and the newest ``depth`` final ones only.
        """
        ...

    def count_matches(self, filter_: JobFilter, most: int, depth: int) -> Verb[MatchCount]:
        """How many jobs match, counted up to ``most``; where no index leads to them, among the newest ``depth`` live
        and the newest ``depth`` final ones only.
        """
        ...

    def group_recent_dead(self, depth: int) -> Verb[RecentDead]:
        """The newest ``depth`` dead letters by fingerprint, the group with the newest one first; its message,
        arguments and metadata are those of the newest.
        """
        ...
