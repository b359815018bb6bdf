-- Keys are locked by writing them, in their order: other transactions that want one wait until this one has ended.

-- name: lock_keys
WITH moment AS MATERIALIZED (SELECT {now} AS now)
INSERT INTO {schema}.unique_keys AS held (key, job, states, until, look_at)
SELECT key, 0, '', 0, now FROM moment, json_array_elements_text(:keys::json) AS key ORDER BY key
ON CONFLICT (key) DO UPDATE SET look_at = held.look_at
RETURNING key, job, states, until > (SELECT now FROM moment);

-- name: lock_keys_jobs
SELECT id, state, run_at, created_at FROM {schema}.jobs WHERE id = {ids}
UNION ALL
SELECT id, state, run_at, created_at FROM {schema}.history WHERE id = {ids};

-- name: take_keys
WITH moment AS MATERIALIZED (SELECT {now} AS now)
INSERT INTO {schema}.unique_keys (key, job, states, until, look_at)
SELECT key, job, states, now + within, now + greatest(within, 3600000000)
FROM moment, json_to_recordset(:taken::json) AS taken (key text, job bigint, states text, within bigint) ORDER BY key
ON CONFLICT (key) DO UPDATE
SET job = excluded.job, states = excluded.states, until = excluded.until, look_at = excluded.look_at;

-- name: settle_keys
UPDATE {schema}.jobs SET unique_key = :key
WHERE id = :id AND fence = :fence AND state || '' = 'running' AND unique_key IN ('', :key) RETURNING id;

-- name: settle_keys_put_off
UPDATE {schema}.jobs
SET state = 'scheduled', run_at = created_at + :delay::bigint, worker = NULL, attempt = attempt - 1, started_at = NULL
WHERE id = :id AND created_at + :delay::bigint > {now} AND cancel_requested_at IS NULL RETURNING id;

-- name: refuse_taken_keys
SELECT id, unique_key, state FROM {schema}.jobs WHERE id = {ids} AND unique_key > ''
UNION ALL
SELECT id, unique_key, state FROM {schema}.history WHERE id = {ids} AND unique_key > '';

-- name: replace_job
WITH moment AS MATERIALIZED (SELECT {now} AS now)
UPDATE {schema}.jobs
SET args = :args::text::json, priority = :priority, queue = :queue, retry = :retry, timeout = :timeout,
    tags = :tags::text::json, metadata = :metadata::text::json, lane = :lane::text, is_listed = 0, attempt = 0,
    invalid_since = NULL, progress = NULL, progress_message = NULL, progress_data = NULL, cursor = NULL,
    paused_by = NULL, expires_at = coalesce(:expires_at::bigint, moment.now + :expires_in::bigint),
    run_at = least(greatest(coalesce(:at::bigint, now), now + :delay::bigint),
                   greatest(created_at + coalesce(:longest::bigint, 4000000000000000000), now)),
    state = CASE WHEN least(greatest(coalesce(:at::bigint, now), now + :delay::bigint),
                            greatest(created_at + coalesce(:longest::bigint, 4000000000000000000), now)) > now
                 THEN 'scheduled' WHEN :lane::text IS NULL THEN 'ready' ELSE 'held' END
FROM moment
WHERE id = :id AND state IN ('scheduled', 'held', 'ready')
RETURNING state, run_at;

-- name: prune_keys
SELECT key FROM {schema}.unique_keys WHERE look_at <= {now} ORDER BY look_at LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: prune_keys_remove
DELETE FROM {schema}.unique_keys
WHERE key = ANY (ARRAY(SELECT json_array_elements_text(:keys::json))) AND until <= {now}
  AND NOT EXISTS (SELECT FROM {schema}.jobs WHERE id = unique_keys.job AND (state <> 'dead' OR states LIKE '%dead%'));

-- name: prune_keys_put_off
-- These are still held: their jobs are live, or their time has not come.
UPDATE {schema}.unique_keys SET look_at = greatest(until, {now} + 3600000000)
WHERE key = ANY (ARRAY(SELECT json_array_elements_text(:keys::json)));
