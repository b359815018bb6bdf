-- Nobody else can write meanwhile, so nobody takes a key that was read here before this transaction ends.

-- name: lock_keys
SELECT key, job, states, until > {now} FROM turnspit_unique_keys WHERE key IN (SELECT value FROM json_each(:keys));

-- name: lock_keys_jobs
SELECT id, state, run_at, created_at FROM turnspit_jobs WHERE id IN (SELECT value FROM json_each(:ids))
UNION ALL
SELECT id, state, run_at, created_at FROM turnspit_history WHERE id IN (SELECT value FROM json_each(:ids));

-- name: take_keys
INSERT OR REPLACE INTO turnspit_unique_keys (key, job, states, until, look_at)
SELECT json_extract(value, '$.key'), json_extract(value, '$.job'), json_extract(value, '$.states'),
       moment + json_extract(value, '$.within'), moment + max(json_extract(value, '$.within'), 3600000000)
FROM (SELECT {now} AS moment), json_each(:taken);

-- name: settle_keys
UPDATE turnspit_jobs SET unique_key = :key
WHERE id = :id AND fence = :fence AND state = 'running' AND unique_key IN ('', :key) RETURNING id;

-- name: settle_keys_put_off
UPDATE turnspit_jobs
SET state = 'scheduled', run_at = created_at + :delay, worker = NULL, attempt = attempt - 1, started_at = NULL
WHERE id = :id AND created_at + :delay > {now} AND cancel_requested_at IS NULL RETURNING id;

-- name: refuse_taken_keys
SELECT id, unique_key, state FROM turnspit_jobs
WHERE id IN (SELECT value FROM json_each(:ids)) AND unique_key > ''
UNION ALL
SELECT id, unique_key, state FROM turnspit_history
WHERE id IN (SELECT value FROM json_each(:ids)) AND unique_key > '';

-- name: replace_job
UPDATE turnspit_jobs
SET args = :args, priority = :priority, queue = :queue, retry = :retry, timeout = :timeout, tags = :tags,
    metadata = :metadata, lane = :lane, is_listed = 0, attempt = 0, run_at = due, paused_by = NULL,
    invalid_since = NULL, progress = NULL, progress_message = NULL, progress_data = NULL, cursor = NULL,
    expires_at = coalesce(:expires_at, moment + :expires_in),
    state = CASE WHEN due > moment THEN 'scheduled' WHEN :lane IS NULL THEN 'ready' ELSE 'held' END
FROM (
    SELECT moment, min(max(coalesce(:at, moment), moment + :delay),
                       coalesce(max(created_at + :longest, moment), 9223372036854775807)) AS due
    FROM (SELECT {now} AS moment), turnspit_jobs WHERE id = :id
)
WHERE id = :id AND state IN ('scheduled', 'held', 'ready')
RETURNING state, run_at;

-- name: prune_keys
SELECT key FROM turnspit_unique_keys WHERE look_at <= {now} ORDER BY look_at LIMIT :limit;

-- name: prune_keys_remove
DELETE FROM turnspit_unique_keys
WHERE key IN (SELECT value FROM json_each(:keys)) AND until <= {now}
  AND NOT EXISTS (SELECT 1 FROM turnspit_jobs WHERE id = turnspit_unique_keys.job AND (state <> 'dead' OR states LIKE '%dead%'));

-- name: prune_keys_put_off
-- These are still held: their jobs are live, or their time has not come.
UPDATE turnspit_unique_keys SET look_at = max(until, {now} + 3600000000)
WHERE key IN (SELECT value FROM json_each(:keys));
