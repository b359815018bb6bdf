-- Pauses take effect in the statements that claim jobs (jobs.sql, limits.sql).

-- name: pause
INSERT INTO turnspit_pauses (kind, name, paused_at) VALUES (:kind, :name, {now})
ON CONFLICT (kind, name) DO NOTHING
RETURNING name;

-- name: resume
DELETE FROM turnspit_pauses WHERE kind = :kind AND name = :name RETURNING name;

-- name: list_pauses
SELECT kind, name, paused_at FROM turnspit_pauses ORDER BY kind, name;

-- name: admit_resumed_jobs
UPDATE turnspit_jobs
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, paused_by = NULL, reason = NULL, is_listed = 0
WHERE id IN ({which})
RETURNING id;

-- name: admit_resumed_jobs_held
-- The pauses for which jobs are held are found by a loose index scan, at a cost that does not grow with the jobs.
WITH RECURSIVE named(pause) AS (
    SELECT min(paused_by) FROM turnspit_jobs WHERE paused_by IS NOT NULL
    UNION ALL
    SELECT (SELECT min(paused_by) FROM turnspit_jobs WHERE paused_by > named.pause)
    FROM named WHERE named.pause IS NOT NULL
)
SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_paused
WHERE paused_by IN (SELECT pause FROM named WHERE pause IS NOT NULL
                    EXCEPT SELECT kind || ' ' || name FROM turnspit_pauses)
LIMIT :limit;
