-- Pauses take effect in the statements that claim jobs (jobs.sql, limits.sql).

-- name: pause
INSERT INTO {schema}.pauses (kind, name, paused_at) VALUES (:kind, :name, {now})
ON CONFLICT (kind, name) DO NOTHING
RETURNING name;

-- name: resume
DELETE FROM {schema}.pauses WHERE kind = :kind AND name = :name RETURNING name;

-- name: list_pauses
SELECT kind, name, paused_at FROM {schema}.pauses ORDER BY kind, name;

-- name: admit_resumed_jobs
WITH over AS MATERIALIZED ({which})
UPDATE {schema}.jobs
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, paused_by = NULL, reason = NULL, is_listed = 0
WHERE id = ANY (ARRAY(SELECT id FROM over))
RETURNING id;

-- name: admit_resumed_jobs_held
-- The pauses for which jobs are held are found by a loose index scan, at a cost that does not grow with the jobs.
WITH RECURSIVE named(pause) AS (
    (SELECT paused_by FROM {schema}.jobs WHERE paused_by IS NOT NULL ORDER BY paused_by LIMIT 1)
    UNION ALL
    SELECT (SELECT paused_by FROM {schema}.jobs WHERE paused_by > named.pause ORDER BY paused_by LIMIT 1)
    FROM named WHERE named.pause IS NOT NULL
)
SELECT id FROM {schema}.jobs
WHERE paused_by = ANY (ARRAY(
    SELECT pause FROM named WHERE pause IS NOT NULL
    EXCEPT SELECT kind || ' ' || name FROM {schema}.pauses))
LIMIT :limit FOR UPDATE SKIP LOCKED;
