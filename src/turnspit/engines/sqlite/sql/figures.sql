-- Every statement here looks at a bounded number of rows, so that a screen costs the same on any store. {where} stands for
-- the caller's filter (see filters.py).

-- name: count_queues_ready
-- Loose index scans: a probe for each queue, then at most :most entries of its index.
WITH RECURSIVE busy(queue) AS (
    SELECT min(queue) FROM turnspit_jobs WHERE state = 'ready'
    UNION ALL
    SELECT (SELECT min(queue) FROM turnspit_jobs WHERE state = 'ready' AND queue > busy.queue)
    FROM busy WHERE busy.queue IS NOT NULL
)
SELECT queue, (SELECT count(*) FROM (SELECT 1 FROM turnspit_jobs AS job INDEXED BY turnspit_jobs_ready
                                     WHERE state = 'ready' AND job.queue = busy.queue LIMIT :most))
FROM busy WHERE queue IS NOT NULL;

-- name: count_queues_other
SELECT queue, CASE WHEN attempt = 0 THEN 'scheduled' ELSE 'retrying' END, count(*)
FROM (SELECT queue, attempt FROM turnspit_jobs INDEXED BY turnspit_jobs_scheduled
      WHERE state = 'scheduled' ORDER BY run_at LIMIT :most) GROUP BY 1, 2
UNION ALL
SELECT queue, CASE WHEN paused_by IS NOT NULL THEN 'paused' WHEN lane IS NULL THEN 'unknown' ELSE 'limited' END, count(*)
FROM (SELECT queue, lane, paused_by FROM turnspit_jobs INDEXED BY turnspit_jobs_held WHERE state = 'held' LIMIT :most) GROUP BY 1, 2
UNION ALL
SELECT queue, 'running', count(*)
FROM (SELECT queue FROM turnspit_jobs INDEXED BY turnspit_jobs_running WHERE state = 'running' LIMIT :most) GROUP BY queue
UNION ALL
SELECT queue, 'dead', count(*)
FROM (SELECT queue FROM turnspit_jobs INDEXED BY turnspit_jobs_dead
      WHERE state = 'dead' ORDER BY id DESC LIMIT :most) GROUP BY queue;

-- name: count_queues_now
SELECT {now};

-- name: list_counters
SELECT minute / :step * :step, queue, task, outcome, sum(count), sum(run_time)
FROM turnspit_counters WHERE minute > {now} / 60000000 - :span
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;

-- name: sample_runs
-- CROSS JOIN keeps the slots outside; the rows of each are found by the index of ends. (The + keeps SQLite from making an
-- index of its own for the state.)
WITH RECURSIVE slot(number, begins) AS (
    SELECT 0, {now} / :width * :width
    UNION ALL
    SELECT number + 1, begins - :width FROM slot WHERE number + 1 < :slots
)
SELECT begins, queue, task, max(0, started_at - run_at), finished_at - started_at
FROM slot CROSS JOIN turnspit_history AS job ON job.id IN (
    SELECT id FROM turnspit_history INDEXED BY turnspit_history_finished
    WHERE finished_at >= begins AND finished_at < begins + :width ORDER BY finished_at LIMIT :depth)
WHERE +state = 'completed' AND started_at IS NOT NULL
  AND (:queue IS NULL OR queue = :queue) AND (:task IS NULL OR task = :task)
ORDER BY begins;

-- name: search_jobs_few_ready
SELECT count(*) FROM (SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_ready WHERE state = 'ready' LIMIT :depth);

-- name: search_jobs_few_scheduled
SELECT count(*) FROM (
    SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_scheduled WHERE state = 'scheduled' LIMIT :depth);

-- name: search_jobs_few_held
SELECT count(*) FROM (SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_held WHERE state = 'held' LIMIT :depth);

-- name: search_jobs_few_running
SELECT count(*) FROM (SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_running WHERE state = 'running' LIMIT :depth);

-- name: search_jobs_among
-- A condition that finds the few jobs of a state by that state's index.
id IN (SELECT id FROM turnspit_jobs WHERE {state})

-- name: search_jobs_floor_live
SELECT id FROM turnspit_jobs WHERE id < :before ORDER BY id DESC LIMIT 1 OFFSET :depth - 1;

-- name: search_jobs_floor_dead
SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_dead WHERE state = 'dead' AND id < :before
ORDER BY id DESC LIMIT 1 OFFSET :depth - 1;

-- name: search_jobs_floor_final
SELECT id FROM turnspit_history WHERE id < :before ORDER BY id DESC LIMIT 1 OFFSET :depth - 1;

-- name: search_jobs_floor_cancelled
SELECT id FROM turnspit_history INDEXED BY turnspit_history_cancelled WHERE state = 'cancelled' AND id < :before
ORDER BY id DESC LIMIT 1 OFFSET :depth - 1;

-- name: count_matches_live
SELECT count(*) FROM (SELECT 1 FROM turnspit_jobs AS job WHERE {where} LIMIT :most);

-- name: count_matches_final
SELECT count(*) FROM (SELECT 1 FROM turnspit_history AS job WHERE {where} LIMIT :most);

-- name: group_recent_dead
SELECT dead.*, newest.reason, substr(newest.args, 1, :preview), substr(newest.metadata, 1, :preview)
FROM (
    SELECT fingerprint, min(task), min(error_type), count(*), max(id) AS newest_id, min(finished_at), max(finished_at)
    FROM (SELECT * FROM turnspit_jobs INDEXED BY turnspit_jobs_dead WHERE state = 'dead' ORDER BY id DESC LIMIT :depth)
    GROUP BY fingerprint
) AS dead CROSS JOIN turnspit_jobs AS newest ON newest.id = newest_id
ORDER BY newest_id DESC;
