"""Figures for screens and metrics. Every verb here reads a bounded number of rows, however large the store is."""

from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.jobs import JobFilter
from turnspit.records import CounterRecord, FoundJobs, MatchCount, RecentDead, RunSample, StoreCounts

__all__ = ["Figures"]


class Figures(Protocol):
    """The verbs of screens and metrics. They change nothing."""

    def count_queues(self, most: int) -> Verb[StoreCounts]:
        """Every queue that has live jobs or dead letters, by name. Ready jobs are counted up to ``most`` for each
        queue, jobs of every other state up to ``most`` in all: those that are due first, and the newest dead letters.
        """
        ...

    def list_counters(self, span: int, step: int) -> Verb[list[CounterRecord]]:
        """The attempts that ended in the last ``span`` minutes, in slots of ``step`` minutes, oldest first."""
        ...

    def sample_runs(
        self, slots: int, width: int, depth: int, queue: str | None, task: str | None
    ) -> Verb[list[RunSample]]:
        """Samples of completed jobs. Time is cut into slots of ``width`` microseconds; for each of the last ``slots``,
        of which the newest ends now, those jobs of this queue and task that are among the first ``depth`` to end in it.
        """
        ...

    def search_jobs(
        self, filter_: JobFilter, limit: int, before: int | None, depth: int, preview: int | None = None
    ) -> Verb[FoundJobs]:
        """The newest matching jobs with an id below ``before``, as ``list_jobs``. If no index leads to them, only the
        newest ``depth`` live and the newest ``depth`` final jobs are searched.

        :param preview: leave out stored attempts and results, and cut arguments and metadata after so many characters.
        """
        ...

    def count_matches(self, filter_: JobFilter, most: int, depth: int) -> Verb[MatchCount]:
        """How many jobs match, counted up to ``most``. If no index leads to them, only the newest ``depth`` live and
        the newest ``depth`` final jobs are searched.
        """
        ...

    def group_recent_dead(self, depth: int, preview: int) -> Verb[RecentDead]:
        """The newest ``depth`` dead letters by fingerprint, the group with the newest one first; its message,
        arguments and metadata are those of the newest, cut after ``preview`` characters.
        """
        ...
