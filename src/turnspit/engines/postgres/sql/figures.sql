-- Every statement here looks at a bounded number of rows, so that a screen costs the same on any store. {where} stands for
-- the caller's filter (see filters.py). Each LIMIT stands behind an ORDER BY: without one, a statement that only reads may
-- be planned as a walk through the table, past any number of rows of other states.

-- name: count_queues_ready
-- Loose index scans: a probe for each queue, then at most :most entries of its index. Its order must not be asked for: for
-- -priority the planner goes to the table (600 ms for 170,000 jobs in 51 queues, 30 ms without).
WITH RECURSIVE busy(queue) AS (
    (SELECT queue FROM {schema}.jobs WHERE state = 'ready' ORDER BY queue, -priority, id LIMIT 1)
    UNION ALL
    SELECT (SELECT job.queue FROM {schema}.jobs AS job
            WHERE state = 'ready' AND job.queue > busy.queue ORDER BY job.queue, -priority, id LIMIT 1)
    FROM busy WHERE busy.queue IS NOT NULL
)
SELECT queue, (SELECT count(*) FROM (SELECT FROM {schema}.jobs AS job WHERE state = 'ready' AND job.queue = busy.queue
                                     LIMIT :most) AS portion)
FROM busy WHERE queue IS NOT NULL;

-- name: count_queues_other
SELECT queue, CASE WHEN attempt = 0 THEN 'scheduled' ELSE 'retrying' END, count(*)
FROM (SELECT queue, attempt FROM {schema}.jobs WHERE state = 'scheduled' ORDER BY run_at LIMIT :most) AS portion GROUP BY 1, 2
UNION ALL
SELECT queue, CASE WHEN paused_by IS NOT NULL THEN 'paused' WHEN lane IS NULL THEN 'unknown' ELSE 'limited' END, count(*)
FROM (SELECT queue, lane, paused_by FROM {schema}.jobs WHERE state = 'held' ORDER BY task, lane LIMIT :most) AS portion GROUP BY 1, 2
UNION ALL
SELECT queue, 'running', count(*)
FROM (SELECT queue FROM {schema}.jobs WHERE state = 'running' ORDER BY worker LIMIT :most) AS portion GROUP BY queue
UNION ALL
SELECT queue, 'dead', count(*)
FROM (SELECT queue FROM {schema}.jobs WHERE state = 'dead' ORDER BY id DESC LIMIT :most) AS portion GROUP BY queue;

-- name: count_queues_now
SELECT {now};

-- name: list_counters
SELECT minute / :step::bigint * :step::bigint, queue, task, outcome, sum(count)::bigint, sum(run_time)::bigint
FROM {schema}.counters WHERE minute > {now} / 60000000 - :span::bigint
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;

-- name: sample_runs
WITH slot(begins) AS MATERIALIZED (
    SELECT ({now} / :width::bigint - number) * :width::bigint FROM generate_series(0, :slots::integer - 1) AS number
)
SELECT begins, queue, task, greatest(0, started_at - run_at), finished_at - started_at
FROM slot CROSS JOIN LATERAL (
    SELECT queue, task, state, run_at, started_at, finished_at FROM {schema}.history
    WHERE finished_at >= slot.begins AND finished_at < slot.begins + :width::bigint
    ORDER BY finished_at LIMIT :depth
) AS job
WHERE state = 'completed' AND started_at IS NOT NULL
  AND (:queue::text IS NULL OR queue = :queue::text) AND (:task::text IS NULL OR task = :task::text)
ORDER BY begins;

-- name: search_jobs_few_ready
SELECT count(*) FROM (SELECT FROM {schema}.jobs WHERE state = 'ready' ORDER BY queue LIMIT :depth) AS portion;

-- name: search_jobs_few_scheduled
SELECT count(*) FROM (SELECT FROM {schema}.jobs WHERE state = 'scheduled' ORDER BY run_at LIMIT :depth) AS portion;

-- name: search_jobs_few_held
SELECT count(*) FROM (SELECT FROM {schema}.jobs WHERE state = 'held' ORDER BY task, lane LIMIT :depth) AS portion;

-- name: search_jobs_few_running
SELECT count(*) FROM (SELECT FROM {schema}.jobs WHERE state = 'running' ORDER BY worker LIMIT :depth) AS portion;

-- name: search_jobs_among
-- A condition that finds the few jobs of a state by that state's index. The planner would walk the primary key for them.
id = ANY (ARRAY(SELECT id FROM {schema}.jobs WHERE {state}))

-- name: search_jobs_floor_live
SELECT id FROM {schema}.jobs WHERE id < :before ORDER BY id DESC LIMIT 1 OFFSET :depth::bigint - 1;

-- name: search_jobs_floor_dead
SELECT id FROM {schema}.jobs WHERE state = 'dead' AND id < :before ORDER BY id DESC LIMIT 1 OFFSET :depth::bigint - 1;

-- name: search_jobs_floor_final
SELECT id FROM {schema}.history WHERE id < :before ORDER BY id DESC LIMIT 1 OFFSET :depth::bigint - 1;

-- name: search_jobs_floor_cancelled
SELECT id FROM {schema}.history WHERE state = 'cancelled' AND id < :before
ORDER BY id DESC LIMIT 1 OFFSET :depth::bigint - 1;

-- name: count_matches_live
SELECT count(*) FROM (SELECT FROM {schema}.jobs AS job WHERE {where} ORDER BY id DESC LIMIT :most) AS portion;

-- name: count_matches_final
SELECT count(*) FROM (SELECT FROM {schema}.history AS job WHERE {where} ORDER BY id DESC LIMIT :most) AS portion;

-- name: group_recent_dead
SELECT dead.*, newest.reason, left(newest.args::text, :preview::integer), left(newest.metadata::text, :preview::integer)
FROM (
    SELECT fingerprint, min(task), min(error_type), count(*), max(id) AS newest_id, min(finished_at), max(finished_at)
    FROM (SELECT * FROM {schema}.jobs WHERE state = 'dead' ORDER BY id DESC LIMIT :depth) AS portion
    GROUP BY fingerprint
) AS dead JOIN {schema}.jobs AS newest ON newest.id = newest_id
ORDER BY newest_id DESC;
