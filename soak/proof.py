"""The proof: each sentence has a query over the ledger and the store that finds the jobs which break it; none must.

Fault tests and the soak share it: ``prove(ledger_folder, store)``.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from soak.ledger import entries

__all__ = ["SENTENCES", "Evidence", "Proof", "prove"]


class Evidence(Protocol):
    """What a store says at the end, a row each."""

    def finals(self) -> Iterable[tuple[Any, ...]]:
        """``place, job, task, state, attempt, crashes, fence, result, cancel_requested_at``, live jobs too."""
        ...

    def attempts(self) -> Iterable[tuple[Any, ...]]:
        """``job, fence, outcome, worker, finished_at``."""
        ...

    def effects(self) -> Iterable[tuple[Any, ...]]:
        """``job``: what tasks wrote in the transaction of ``job.finish(tx)``."""
        ...


_TABLES = """
CREATE TABLE ledger (what TEXT, job INTEGER, fence INTEGER, moment INTEGER, detail TEXT);
CREATE TABLE finals (place TEXT, job INTEGER, task TEXT, state TEXT, attempt INTEGER, crashes INTEGER, fence INTEGER,
                     result TEXT, cancel_requested_at INTEGER);
CREATE TABLE attempts (job INTEGER, fence INTEGER, outcome TEXT, worker INTEGER, finished_at INTEGER);
CREATE TABLE effects (job INTEGER);
"""
_PREPARED = """
CREATE INDEX finals_job ON finals (job);
CREATE INDEX attempts_job ON attempts (job, fence);
CREATE INDEX effects_job ON effects (job);
CREATE TABLE stored AS SELECT job, fence, detail AS state FROM ledger WHERE what = 'stored';
CREATE INDEX stored_job ON stored (job);
CREATE TABLE faults AS SELECT CAST(detail AS INTEGER) AS pid, what, moment FROM ledger
                       WHERE what IN ('killed', 'suspended', 'exited');
CREATE TABLE workers AS SELECT job AS worker, CAST(detail AS INTEGER) AS pid FROM ledger WHERE what = 'worker';
CREATE TABLE ends AS SELECT job, fence, moment FROM ledger WHERE what = 'ended';
CREATE INDEX ends_job ON ends (job, fence);
CREATE TABLE runs AS
    SELECT begun.job, begun.fence, begun.moment AS begun,
           coalesce((SELECT moment FROM ends WHERE ends.job = begun.job AND ends.fence = begun.fence),
                    (SELECT min(moment) FROM faults WHERE faults.pid = CAST(begun.detail AS INTEGER)
                     AND what IN ('killed', 'exited') AND faults.moment >= begun.moment),
                    begun.moment) AS ended
    FROM ledger AS begun WHERE what = 'begun';
CREATE INDEX runs_job ON runs (job, fence);
CREATE TABLE again AS SELECT job FROM runs GROUP BY job HAVING count(*) > 1;
ANALYZE;
"""


def _count(*outcomes: str) -> str:
    names = ", ".join(f"'{outcome}'" for outcome in outcomes)
    return f"(SELECT count(*) FROM attempts WHERE attempts.job = finals.job AND outcome IN ({names}))"


SENTENCES = {
    "lost": (
        "every accepted job reached a final state",
        "SELECT ledger.job FROM ledger LEFT JOIN finals ON finals.job = ledger.job WHERE what = 'accepted' "
        "AND coalesce(finals.state, '') NOT IN ('completed', 'cancelled', 'dead')",
    ),
    "stuck": (
        "nothing is left running, held, ready or scheduled",
        "SELECT job FROM finals WHERE state NOT IN ('completed', 'cancelled', 'dead')",
    ),
    "doubled": (
        "no final state was reached twice, and each job is stored once",
        "SELECT job FROM stored GROUP BY job HAVING count(*) > 1 "
        "UNION ALL SELECT job FROM finals GROUP BY job HAVING count(*) > 1",
    ),
    "stale writes": (
        "no write of a claim that was not current took effect: the end is that of the last claim",
        "SELECT job FROM finals WHERE place = 'history' AND state = 'completed' AND result <> CAST(fence AS TEXT) "
        "UNION ALL SELECT runs.job FROM runs JOIN finals USING (job) WHERE runs.fence > finals.fence "
        "UNION ALL SELECT stored.job FROM stored JOIN finals USING (job) "
        "WHERE stored.fence <> finals.fence OR stored.state <> finals.state",
    ),
    "beside": (
        "no job ran beside another claim of it, unless the first one's worker had been declared dead",
        "SELECT first.job FROM again JOIN runs AS first USING (job) JOIN runs AS other USING (job) "
        "WHERE first.fence < other.fence AND other.begun < first.ended AND NOT EXISTS (SELECT 1 FROM attempts "
        "WHERE attempts.job = first.job AND attempts.fence = first.fence AND outcome = 'crashed')",
    ),
    "robbed": (
        "only workers that were killed or suspended lost their jobs to others",
        "SELECT job FROM attempts WHERE outcome = 'crashed' AND NOT EXISTS (SELECT 1 FROM workers JOIN faults "
        "USING (pid) WHERE workers.worker = attempts.worker AND faults.moment <= attempts.finished_at)",
    ),
    "attempts": (
        "a crash, a snooze and a return cost no attempt",
        f"SELECT job FROM finals WHERE state = 'completed' AND attempt <> 1 + {_count('failed')} "
        f"UNION ALL SELECT job FROM finals WHERE state = 'dead' AND attempt <> {_count('failed', 'dead')}",
    ),
    "crashes": (
        "each crash is counted, once",
        f"SELECT job FROM finals WHERE cancel_requested_at IS NULL AND crashes <> {_count('crashed')}",
    ),
    "effects": (
        "what a task wrote in the transaction of job.finish(tx) is there once, exactly where the job completed",
        "SELECT job FROM finals WHERE task = 'charge' "
        "AND (SELECT count(*) FROM effects WHERE effects.job = finals.job) <> (state = 'completed') "
        "UNION ALL SELECT job FROM effects WHERE job NOT IN (SELECT job FROM finals WHERE task = 'charge')",
    ),
    "ticks": (
        "each tick of the schedule fired once, none was left out",
        "SELECT min(job) FROM ledger WHERE what = 'tick' GROUP BY detail HAVING count(DISTINCT job) > 1 "
        "UNION ALL SELECT job FROM (SELECT job, CAST(detail AS INTEGER) AS tick, "
        "lag(CAST(detail AS INTEGER)) OVER (ORDER BY CAST(detail AS INTEGER)) AS before "
        "FROM ledger WHERE what = 'tick') WHERE tick > before + 1000000",
    ),
    "overtaken": (
        "no job in order began after a later one of its key had begun",
        "SELECT job FROM (SELECT job, fence, max(job) OVER (PARTITION BY detail ORDER BY moment, job) AS latest "
        "FROM ledger WHERE what = 'booked') AS booked WHERE job < latest AND NOT EXISTS (SELECT 1 FROM attempts "
        "WHERE attempts.job = booked.job AND attempts.fence = booked.fence AND outcome = 'crashed')",
    ),
    "rolled back": (
        "a job of a transaction that was rolled back is not there",
        "SELECT job FROM finals WHERE task = 'never'",
    ),
}
_FIGURES = {
    "accepted": "SELECT count(*) FROM ledger WHERE what = 'accepted'",
    "not known to be accepted, yet stored": "SELECT count(*) FROM finals WHERE job NOT IN "
    "(SELECT job FROM ledger WHERE what = 'accepted')",
    "completed": "SELECT count(*) FROM finals WHERE state = 'completed'",
    "cancelled": "SELECT count(*) FROM finals WHERE state = 'cancelled'",
    "dead by design": "SELECT count(*) FROM finals WHERE state = 'dead'",
    "runs": "SELECT count(*) FROM runs",
    "runs that failed or snoozed": "SELECT count(*) FROM attempts WHERE outcome NOT IN ('crashed')",
    "claims rescued from dead workers": "SELECT count(*) FROM attempts WHERE outcome = 'crashed'",
    "runs begun again after a rescue": "SELECT count(*) FROM runs JOIN attempts USING (job, fence) "
    "WHERE outcome = 'crashed'",
    "ticks of a schedule": "SELECT count(DISTINCT detail) FROM ledger WHERE what = 'tick'",
    "runs of jobs in order": "SELECT count(*) FROM ledger WHERE what = 'booked'",
    "late writes refused": "SELECT count(*) FROM ledger WHERE what = 'refused'",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found: ``violations`` holds the first jobs that break each sentence that is broken."""

    figures: dict[str, int]
    counts: dict[str, int]
    violations: dict[str, list[int]]

    @property
    def holds(self) -> bool:
        """Whether every sentence holds."""
        return not self.violations


def prove(ledger: Path, store: Evidence, place: str = ":memory:") -> Proof:
    """Compare the ledger with the store.

    :param place: a file to work in, if that does not fit into memory.
    """
    base = sqlite3.connect(place, isolation_level=None)
    base.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)
    base.execute("BEGIN")
    base.executemany("INSERT INTO ledger VALUES (?, ?, ?, ?, ?)", entries(ledger))
    base.executemany("INSERT INTO finals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", store.finals())
    base.executemany("INSERT INTO attempts VALUES (?, ?, ?, ?, ?)", store.attempts())
    base.executemany("INSERT INTO effects VALUES (?)", store.effects())
    base.execute("COMMIT")
    base.executescript(_PREPARED)
    figures = {name: base.execute(query).fetchone()[0] for name, query in _FIGURES.items()}
    counts, violations = {}, {}
    for name, (_, query) in SENTENCES.items():
        found = [job for (job,) in base.execute(query)]
        counts[name] = len(found)
        if found:
            violations[name] = found[:10]
    base.close()
    return Proof(figures, counts, violations)
