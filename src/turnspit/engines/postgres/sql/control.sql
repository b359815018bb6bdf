-- {where} stands for the caller's filter (see filters.py). Jobs that are found are locked until they are changed.

-- name: cancel_jobs
SELECT id, state FROM {schema}.jobs
WHERE state IN ('blocked', 'scheduled', 'held', 'ready', 'running')
  AND (state <> 'running' OR cancel_requested_at IS NULL) AND {where} AND id > :after
ORDER BY id LIMIT :limit FOR UPDATE;

-- name: cancel_jobs_request
UPDATE {schema}.jobs SET cancel_requested_at = {now}, reason = :reason WHERE id = {ids};

-- name: replay_jobs
SELECT id, state, workflow FROM {schema}.jobs WHERE state = 'dead' AND {where} AND id > :after ORDER BY id LIMIT :limit FOR UPDATE;

-- name: replay_jobs_revive
UPDATE {schema}.jobs
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, attempt = 0, crashes = 0, run_at = {now},
    started_at = NULL, finished_at = NULL, worker = NULL,
    cancel_requested_at = NULL, reason = NULL, error_type = NULL, fingerprint = NULL, invalid_since = NULL,
    expires_at = NULL,
    progress = NULL, progress_message = NULL, progress_data = NULL, cursor = NULL
WHERE id = {ids}
RETURNING id, state, workflow;

-- name: replay_jobs_history
SELECT id, state, workflow FROM {schema}.history WHERE {where} AND id > :after ORDER BY id LIMIT :limit FOR UPDATE;

-- name: replay_jobs_keep_attempt
-- The attempt that completed was stored in the history row; it becomes a row of its own.
INSERT INTO {schema}.attempts (job, fence, attempt, outcome, started_at, finished_at, worker)
SELECT id, fence, attempt, state, started_at, finished_at, worker
FROM {schema}.history WHERE id = {ids} AND state = 'completed'
ON CONFLICT (job, fence) DO NOTHING;

-- name: replay_jobs_restore
INSERT INTO {schema}.jobs (
    id, task, queue, state, args, priority, fence, created_at, run_at, retry, timeout, tags, metadata,
    unique_key, lane, workflow)
SELECT id, task, queue, CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, args, priority, fence,
       created_at, {now}, retry, timeout, tags, metadata, unique_key, lane, workflow
FROM {schema}.history WHERE id = {ids}
RETURNING id, state, workflow;

-- name: update_job
WITH moment AS MATERIALIZED (SELECT {now} AS now)
UPDATE {schema}.jobs
SET priority = coalesce(:priority::integer, priority), queue = coalesce(:queue::text, queue),
    run_at = coalesce(:at::bigint, now + :delay::bigint, run_at),
    lane = CASE WHEN :queue::text IS NULL THEN lane END,
    is_listed = CASE WHEN coalesce(:at::bigint, :delay::bigint) IS NULL AND :queue::text IS NULL THEN is_listed ELSE 0 END,
    state = CASE WHEN coalesce(:at::bigint, now + :delay::bigint) > now THEN 'scheduled'
                 WHEN :queue::text IS NOT NULL AND lane IS NOT NULL AND state = 'held' THEN 'ready'
                 WHEN coalesce(:at::bigint, :delay::bigint) IS NOT NULL
                 THEN CASE WHEN lane IS NULL OR :queue::text IS NOT NULL THEN 'ready' ELSE 'held' END
                 ELSE state END,
    paused_by = CASE WHEN coalesce(:at::bigint, :delay::bigint) IS NULL AND :queue::text IS NULL THEN paused_by END
FROM moment
WHERE id = :id AND state IN ('scheduled', 'held', 'ready')
RETURNING state;

-- name: run_jobs_now
SELECT id FROM {schema}.jobs WHERE state IN ('scheduled', 'held', 'ready') AND {where} AND id > :after
ORDER BY id LIMIT :limit FOR UPDATE;

-- name: run_jobs_now_ready
UPDATE {schema}.jobs
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, paused_by = NULL, is_listed = 0, run_at = {now}
WHERE id = {ids}
RETURNING id, state;

-- name: delete_jobs
SELECT id, state, workflow FROM {schema}.jobs WHERE state <> 'running' AND {where} AND id > :after
ORDER BY id LIMIT :limit FOR UPDATE;

-- name: delete_jobs_history
SELECT id, state, workflow FROM {schema}.history WHERE {where} AND id > :after ORDER BY id LIMIT :limit FOR UPDATE;
