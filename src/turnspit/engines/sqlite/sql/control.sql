-- {where} stands for the caller's filter (see filters.py).

-- name: cancel_jobs
SELECT id, state FROM turnspit_jobs
WHERE state IN ('blocked', 'scheduled', 'held', 'ready', 'running')
  AND (state <> 'running' OR cancel_requested_at IS NULL) AND {where} AND id > :after
ORDER BY id LIMIT :limit;

-- name: cancel_jobs_request
UPDATE turnspit_jobs SET cancel_requested_at = {now}, reason = :reason
WHERE id IN (SELECT value FROM json_each(:ids));

-- name: replay_jobs
SELECT id, state, workflow FROM turnspit_jobs WHERE state = 'dead' AND {where} AND id > :after ORDER BY id LIMIT :limit;

-- name: replay_jobs_revive
UPDATE turnspit_jobs
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, attempt = 0, crashes = 0, run_at = {now},
    started_at = NULL, finished_at = NULL, worker = NULL,
    cancel_requested_at = NULL, reason = NULL, error_type = NULL, fingerprint = NULL, invalid_since = NULL,
    expires_at = NULL,
    progress = NULL, progress_message = NULL, progress_data = NULL, cursor = NULL
WHERE id IN (SELECT value FROM json_each(:ids))
RETURNING id, state, workflow;

-- name: replay_jobs_history
SELECT id, state, workflow FROM turnspit_history WHERE {where} AND id > :after ORDER BY id LIMIT :limit;

-- name: replay_jobs_keep_attempt
-- The attempt that completed was stored in the history row; it becomes a row of its own.
INSERT OR IGNORE INTO turnspit_attempts (job, fence, attempt, outcome, started_at, finished_at, worker)
SELECT id, fence, attempt, state, started_at, finished_at, worker
FROM turnspit_history
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'completed';

-- name: replay_jobs_restore
INSERT INTO turnspit_jobs (
    id, task, queue, state, args, priority, fence, created_at, run_at, retry, timeout, tags, metadata,
    unique_key, lane, workflow)
SELECT id, task, queue, CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, args, priority, fence,
       created_at, {now}, retry, timeout, tags, metadata, unique_key, lane, workflow
FROM turnspit_history WHERE id IN (SELECT value FROM json_each(:ids))
RETURNING id, state, workflow;

-- name: update_job
UPDATE turnspit_jobs
SET priority = coalesce(:priority, priority), queue = coalesce(:queue, queue),
    run_at = coalesce(:at, {now} + :delay, run_at),
    lane = CASE WHEN :queue IS NULL THEN lane END, is_listed = is_listed AND coalesce(:at, :delay, :queue) IS NULL,
    state = CASE WHEN coalesce(:at, {now} + :delay) > {now} THEN 'scheduled'
                 WHEN :queue IS NOT NULL AND lane IS NOT NULL AND state = 'held' THEN 'ready'
                 WHEN coalesce(:at, {now} + :delay) IS NOT NULL
                 THEN CASE WHEN lane IS NULL OR :queue IS NOT NULL THEN 'ready' ELSE 'held' END
                 ELSE state END,
    paused_by = CASE WHEN coalesce(:at, :delay, :queue) IS NULL THEN paused_by END
WHERE id = :id AND state IN ('scheduled', 'held', 'ready')
RETURNING state;

-- name: run_jobs_now
SELECT id FROM turnspit_jobs WHERE state IN ('scheduled', 'held', 'ready') AND {where} AND id > :after
ORDER BY id LIMIT :limit;

-- name: run_jobs_now_ready
UPDATE turnspit_jobs
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, paused_by = NULL, is_listed = 0, run_at = {now}
WHERE id IN (SELECT value FROM json_each(:ids))
RETURNING id, state;

-- name: delete_jobs
SELECT id, state, workflow FROM turnspit_jobs WHERE state <> 'running' AND {where} AND id > :after ORDER BY id LIMIT :limit;

-- name: delete_jobs_history
SELECT id, state, workflow FROM turnspit_history WHERE {where} AND id > :after ORDER BY id LIMIT :limit;
