"""What the proof says, in SQL over the ledger and what the store says at the end.

Each ledger line is a row of ``ledger``; ``what`` is its first word. The tables that follow give these words names.
"""

from typing import NamedTuple

__all__ = ["FIGURES", "PREPARED", "SENTENCES", "TABLES", "Sentence"]

TABLES = """
CREATE TABLE ledger (what TEXT, job INTEGER, fence INTEGER, moment INTEGER, detail TEXT);
CREATE TABLE finals (place TEXT, job INTEGER, task TEXT, state TEXT, attempt INTEGER, crashes INTEGER, fence INTEGER,
                     result TEXT, cancel_requested_at INTEGER);
CREATE TABLE attempts (job INTEGER, fence INTEGER, outcome TEXT, worker INTEGER, finished_at INTEGER);
CREATE TABLE effects (job INTEGER);
"""
"""What is loaded."""

PREPARED = """
CREATE INDEX finals_job ON finals (job);
CREATE INDEX attempts_job ON attempts (job, fence);
CREATE INDEX effects_job ON effects (job);

CREATE VIEW accepted AS SELECT job FROM ledger WHERE what = 'accepted';
CREATE VIEW crashed AS SELECT job, fence, worker, finished_at FROM attempts WHERE outcome = 'crashed';
CREATE VIEW unfinished AS SELECT job FROM finals WHERE state NOT IN ('completed', 'cancelled', 'dead');
CREATE VIEW ticks AS SELECT job, CAST(detail AS INTEGER) AS tick FROM ledger WHERE what = 'tick';
CREATE VIEW in_order AS SELECT job, fence, moment, detail AS key FROM ledger WHERE what = 'booked';

CREATE TABLE stored AS SELECT job, fence, detail AS state FROM ledger WHERE what = 'stored';
CREATE INDEX stored_job ON stored (job);

CREATE TABLE faults AS
    SELECT CAST(detail AS INTEGER) AS pid, what, moment FROM ledger WHERE what IN ('killed', 'suspended', 'exited');
CREATE TABLE workers AS
    SELECT job AS worker, CAST(detail AS INTEGER) AS pid FROM ledger WHERE what = 'worker';

CREATE TABLE ends AS SELECT job, fence, moment FROM ledger WHERE what = 'ended';
CREATE INDEX ends_job ON ends (job, fence);

-- A run whose process was gone before it could write its end has ended with its process.
CREATE TABLE runs AS
    SELECT begun.job, begun.fence, begun.moment AS begun,
           coalesce((SELECT moment FROM ends WHERE ends.job = begun.job AND ends.fence = begun.fence),
                    (SELECT min(moment) FROM faults WHERE faults.pid = CAST(begun.detail AS INTEGER)
                     AND what IN ('killed', 'exited') AND faults.moment >= begun.moment),
                    begun.moment) AS ended
    FROM ledger AS begun WHERE what = 'begun';
CREATE INDEX runs_job ON runs (job, fence);
CREATE TABLE ran_again AS SELECT job FROM runs GROUP BY job HAVING count(*) > 1;
ANALYZE;
"""
"""What is made of it."""


class Sentence(NamedTuple):
    """A sentence of the proof."""

    text: str
    broken_by: str
    """A query for the jobs that break it."""


SENTENCES = {
    "lost": Sentence(
        "every accepted job reached a final state",
        """
        SELECT job FROM accepted LEFT JOIN finals USING (job)
        WHERE coalesce(state, '') NOT IN ('completed', 'cancelled', 'dead')
        """,
    ),
    "stuck": Sentence(
        "nothing is left running, held, ready or scheduled",
        "SELECT job FROM unfinished",
    ),
    "doubled": Sentence(
        "no final state was reached twice, and each job is stored once",
        """
        SELECT job FROM stored GROUP BY job HAVING count(*) > 1
        UNION ALL
        SELECT job FROM finals GROUP BY job HAVING count(*) > 1
        """,
    ),
    "stale writes": Sentence(
        "no write of a claim that was not current took effect: the end is that of the last claim",
        """
        SELECT job FROM finals
        WHERE place = 'history' AND state = 'completed' AND result <> CAST(fence AS TEXT)
        UNION ALL
        SELECT job FROM runs JOIN finals USING (job)
        WHERE runs.fence > finals.fence
        UNION ALL
        SELECT job FROM stored JOIN finals USING (job)
        WHERE stored.fence <> finals.fence OR stored.state <> finals.state
        """,
    ),
    "beside": Sentence(
        "no job ran beside another claim of it, unless the first one's worker had been declared dead",
        """
        SELECT first.job
        FROM ran_again
        JOIN runs AS first USING (job)
        JOIN runs AS other USING (job)
        WHERE first.fence < other.fence AND other.begun < first.ended
          AND NOT EXISTS (SELECT 1 FROM crashed WHERE crashed.job = first.job AND crashed.fence = first.fence)
        """,
    ),
    "robbed": Sentence(
        "only workers that were killed or suspended lost their jobs to others",
        """
        SELECT job FROM crashed
        WHERE NOT EXISTS (SELECT 1 FROM workers JOIN faults USING (pid)
                          WHERE workers.worker = crashed.worker AND faults.moment <= crashed.finished_at)
        """,
    ),
    "attempts": Sentence(
        "a crash, a snooze and a return cost no attempt",
        """
        SELECT job FROM finals
        WHERE state = 'completed' AND attempt <> 1 + (
              SELECT count(*) FROM attempts WHERE attempts.job = finals.job AND outcome = 'failed')
           OR state = 'dead' AND attempt <> (
              SELECT count(*) FROM attempts WHERE attempts.job = finals.job AND outcome IN ('failed', 'dead'))
        """,
    ),
    "crashes": Sentence(
        "each crash is counted, once",
        """
        SELECT job FROM finals
        WHERE cancel_requested_at IS NULL
          AND crashes <> (SELECT count(*) FROM crashed WHERE crashed.job = finals.job)
        """,
    ),
    "effects": Sentence(
        "what a task wrote in the transaction of job.finish(tx) is there once, exactly where the job completed",
        """
        SELECT job FROM finals
        WHERE task = 'charge'
          AND (SELECT count(*) FROM effects WHERE effects.job = finals.job) <> (state = 'completed')
        UNION ALL
        SELECT job FROM effects WHERE job NOT IN (SELECT job FROM finals WHERE task = 'charge')
        """,
    ),
    "ticks": Sentence(
        "each tick of the schedule fired once, none was left out",
        """
        SELECT min(job) FROM ticks GROUP BY tick HAVING count(DISTINCT job) > 1
        UNION ALL
        SELECT job FROM (SELECT job, tick, lag(tick) OVER (ORDER BY tick) AS before FROM ticks)
        WHERE tick > before + 1000000
        """,
    ),
    "overtaken": Sentence(
        "no job in order began after a later one of its key had begun",
        """
        SELECT job
        FROM (SELECT job, fence, max(job) OVER (PARTITION BY key ORDER BY moment, job) AS latest FROM in_order) AS run
        WHERE job < latest
          AND NOT EXISTS (SELECT 1 FROM crashed WHERE crashed.job = run.job AND crashed.fence = run.fence)
        """,
    ),
    "rolled back": Sentence(
        "a job of a transaction that was rolled back is not there",
        "SELECT job FROM finals WHERE task = 'never'",
    ),
}

FIGURES = {
    "accepted": "SELECT count(*) FROM accepted",
    "not known to be accepted, yet stored": "SELECT count(*) FROM finals WHERE job NOT IN (SELECT job FROM accepted)",
    "completed": "SELECT count(*) FROM finals WHERE state = 'completed'",
    "cancelled": "SELECT count(*) FROM finals WHERE state = 'cancelled'",
    "dead by design": "SELECT count(*) FROM finals WHERE state = 'dead'",
    "runs": "SELECT count(*) FROM runs",
    "runs that failed or snoozed": "SELECT count(*) FROM attempts WHERE outcome <> 'crashed'",
    "claims rescued from dead workers": "SELECT count(*) FROM crashed",
    "runs begun again after a rescue": "SELECT count(*) FROM runs JOIN crashed USING (job, fence)",
    "ticks of a schedule": "SELECT count(DISTINCT tick) FROM ticks",
    "runs of jobs in order": "SELECT count(*) FROM in_order",
    "late writes refused": "SELECT count(*) FROM ledger WHERE what = 'refused'",
}
"""Queries for numbers that say how much the proof has seen."""
