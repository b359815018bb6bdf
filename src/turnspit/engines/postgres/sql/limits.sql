-- One claim at a time decides about limits, under an advisory lock that it holds until it has committed.

-- name: free_slots
UPDATE {schema}.slots SET is_free = 1 WHERE job = {ids} RETURNING job;

-- name: free_slots_of_ended
-- Not the slot of a job that was replayed and runs again.
UPDATE {schema}.slots SET is_free = 1
WHERE job = {ids} AND NOT EXISTS (SELECT 1 FROM {schema}.jobs WHERE jobs.id = slots.job AND state = 'running')
RETURNING job;

-- name: claim_limited_jobs_look
SELECT live AND (
           EXISTS (SELECT FROM {schema}.jobs WHERE state = 'held' AND lane IS NOT NULL AND is_listed = 0)
           OR EXISTS (SELECT FROM {schema}.slots WHERE is_free = 1)
           OR coalesce(next_at <= moment, FALSE)),
       CASE WHEN live AND next_at IS NOT NULL THEN greatest(0, next_at - moment) END,  -- greatest() ignores NULL
       EXISTS (SELECT FROM {schema}.pauses WHERE kind = 'tag')
FROM (
    SELECT {now} AS moment,
           EXISTS (SELECT FROM {schema}.workers WHERE id = :worker AND stopped_at IS NULL) AS live,
           (SELECT next_at FROM {schema}.lanes
            WHERE parked_on IS NULL AND next_at IS NOT NULL
              AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json) EXCEPT {paused_tasks}))
              AND queue <> {paused_queues}
              AND (:queues::json IS NULL OR queue = ANY (ARRAY(SELECT json_array_elements_text(:queues::json))))
            ORDER BY next_at LIMIT 1) AS next_at
) AS look;

-- name: claim_limited_jobs_lock
SELECT pg_advisory_xact_lock(hashtext('{schema}'), 4);

-- name: claim_limited_jobs_list
WITH unlisted AS MATERIALIZED (
    SELECT id FROM {schema}.jobs WHERE state = 'held' AND lane IS NOT NULL AND is_listed = 0
    ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE {schema}.jobs SET is_listed = 1 WHERE id = ANY (ARRAY(SELECT id FROM unlisted))
RETURNING lane;

-- name: claim_limited_jobs_lanes
-- A new lane is due before those that are served at this moment.
WITH moment AS MATERIALIZED (SELECT {now} AS now)
INSERT INTO {schema}.lanes AS known (lane, queue, task, next_at)
SELECT lane, queue, task, now - 1 FROM moment, json_to_recordset(:lanes::json) AS new (lane text, queue text, task text)
ON CONFLICT (lane) DO UPDATE
SET next_at = CASE WHEN left(known.lane, 1) = '"' THEN least(known.next_at, excluded.next_at)  -- least() ignores NULL
                   ELSE coalesce(known.next_at, excluded.next_at) END;

-- name: claim_limited_jobs_freed
DELETE FROM {schema}.slots WHERE is_free = 1 RETURNING key;

-- name: claim_limited_jobs_unpark
-- Lanes of tasks and queues that this worker serves come first: a lane that nobody serves would keep the slot to itself.
UPDATE {schema}.lanes SET parked_on = NULL, next_at = {now}
WHERE lane = ANY (ARRAY(
    SELECT waiting.lane
    FROM json_to_recordset(:turns::json) AS turn (key text, share bigint)
    CROSS JOIN LATERAL (
        SELECT lane FROM {schema}.lanes WHERE parked_on = turn.key
        ORDER BY (task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json) EXCEPT {paused_tasks}))
                  AND queue <> {paused_queues}
                  AND (:queues::json IS NULL OR queue = ANY (ARRAY(SELECT json_array_elements_text(:queues::json)))))
                 DESC, next_at
        LIMIT turn.share
    ) AS waiting))
RETURNING lane;

-- name: claim_limited_jobs
SELECT lane,
       (SELECT count(*) FROM (SELECT FROM {schema}.jobs AS job
                              WHERE job.state = 'held' AND job.lane = due.lane AND job.lane IS NOT NULL
                                AND job.paused_by IS NULL LIMIT :most) AS line),
       moment.now
FROM (SELECT {now} AS now) AS moment, {schema}.lanes AS due
WHERE parked_on IS NULL AND next_at IS NOT NULL AND next_at <= {now}
  AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json) EXCEPT {paused_tasks}))
  AND queue <> {paused_queues}
  AND (:queues::json IS NULL OR queue = ANY (ARRAY(SELECT json_array_elements_text(:queues::json))))
ORDER BY next_at, lane LIMIT :limit;

-- name: claim_limited_jobs_paused
-- Holds the jobs with a paused tag among the first of a lane, for that pause.
WITH picked AS MATERIALIZED (
    SELECT job.id, job.pause
    FROM json_to_recordset(:turns::json) AS turn (lane text)
    CROSS JOIN LATERAL (
        SELECT id, {paused_tag} AS pause FROM {schema}.jobs
        WHERE state = 'held' AND lane = turn.lane AND lane IS NOT NULL AND paused_by IS NULL
        ORDER BY priority DESC, id LIMIT :most FOR UPDATE SKIP LOCKED
    ) AS job
    WHERE job.pause IS NOT NULL
)
UPDATE {schema}.jobs AS job SET paused_by = pause, reason = 'paused: ' || pause
FROM picked WHERE job.id = picked.id
RETURNING job.id;

-- name: claim_limited_jobs_rates
SELECT key, admitted, held_back_until FROM {schema}.limits WHERE key = ANY (ARRAY(SELECT json_array_elements_text(:keys::json)));

-- name: claim_limited_jobs_taken
SELECT key, count(*) FROM {schema}.slots WHERE key = ANY (ARRAY(SELECT json_array_elements_text(:keys::json))) GROUP BY key;

-- name: claim_limited_jobs_take
WITH moment AS MATERIALIZED (SELECT {now} AS now),
picked AS MATERIALIZED (
    SELECT job.id
    FROM json_to_recordset(:turns::json) AS turn (lane text, share bigint)
    CROSS JOIN LATERAL (
        SELECT id FROM {schema}.jobs
        WHERE state = 'held' AND lane = turn.lane AND lane IS NOT NULL AND paused_by IS NULL
          AND (expires_at IS NULL OR expires_at > {now})
        ORDER BY priority DESC, id LIMIT turn.share FOR UPDATE SKIP LOCKED
    ) AS job
)
UPDATE {schema}.jobs AS job
SET state = 'running', worker = :worker, fence = fence + 1, attempt = attempt + 1, started_at = moment.now,
    is_listed = 0
FROM moment
WHERE job.id = ANY (ARRAY(SELECT id FROM picked))
RETURNING job.id, fence, task, queue, args::text, attempt, crashes, priority, created_at, run_at, started_at,
          retry, timeout, tags::text, metadata::text, lane, unique_key, workflow, cursor;

-- name: claim_limited_jobs_heads
SELECT turn."order", job.*
FROM json_to_recordset(:turns::json) AS turn ("order" text)
CROSS JOIN LATERAL (
    SELECT id, lane, state, run_at, paused_by IS NULL AND (expires_at IS NULL OR expires_at > {now}),
           paused_by IS NOT NULL
    FROM {schema}.jobs WHERE {order} = turn."order" AND {ordered}
    ORDER BY id LIMIT 1
) AS job;

-- name: claim_limited_jobs_heads_take
WITH moment AS MATERIALIZED (SELECT {now} AS now),
picked AS MATERIALIZED (SELECT id FROM {schema}.jobs WHERE id = {ids} AND state = 'held' FOR UPDATE SKIP LOCKED)
UPDATE {schema}.jobs AS job
SET state = 'running', worker = :worker, fence = fence + 1, attempt = attempt + 1, started_at = moment.now,
    is_listed = 0
FROM moment
WHERE job.id = ANY (ARRAY(SELECT id FROM picked))
RETURNING job.id, fence, task, queue, args::text, attempt, crashes, priority, created_at, run_at, started_at,
          retry, timeout, tags::text, metadata::text, lane, unique_key, workflow, cursor;

-- name: claim_limited_jobs_slots
INSERT INTO {schema}.slots (key, job)
SELECT key, job FROM json_to_recordset(:slots::json) AS slot (key text, job bigint)
ON CONFLICT (job, key) DO UPDATE SET is_free = 0;

-- name: claim_limited_jobs_admitted
INSERT INTO {schema}.limits AS known (key, admitted, held_back_until, look_at)
SELECT key, admitted, 0, look_at
FROM json_to_recordset(:rates::json) AS rate (key text, admitted text, look_at bigint) ORDER BY key
ON CONFLICT (key) DO UPDATE
SET admitted = excluded.admitted, look_at = greatest(known.look_at, excluded.look_at);

-- name: claim_limited_jobs_after
UPDATE {schema}.lanes AS known SET next_at = after.next_at, parked_on = after.parked_on
FROM json_to_recordset(:lanes::json) AS after (lane text, next_at bigint, parked_on text)
WHERE known.lane = after.lane;

-- name: assign_lanes
UPDATE {schema}.jobs AS job SET lane = new.value->>2, is_listed = 0
FROM json_array_elements(:lanes::json) AS new (value)
WHERE job.id = (new.value->>0)::bigint AND job.fence = (new.value->>1)::bigint AND job.state || '' = 'running';

-- name: acquire_permit
SELECT {now};

-- name: hold_back
WITH moment AS MATERIALIZED (SELECT {now} AS now)
INSERT INTO {schema}.limits AS known (key, admitted, held_back_until, look_at)
SELECT key, '[]', now + :delay::bigint, now + :delay::bigint
FROM moment, json_array_elements_text(:keys::json) AS key ORDER BY key
ON CONFLICT (key) DO UPDATE
SET held_back_until = greatest(known.held_back_until, excluded.held_back_until),
    look_at = greatest(known.look_at, excluded.look_at);

-- name: set_limit
INSERT INTO {schema}.limit_changes (name, allowed, per, burst) VALUES (:name, :allowed, :per, :burst::bigint)
ON CONFLICT (name) DO UPDATE SET allowed = excluded.allowed, per = excluded.per, burst = excluded.burst;

-- name: set_limit_look_again
UPDATE {schema}.lanes SET parked_on = NULL, next_at = least(next_at, {now}) WHERE next_at IS NOT NULL;

-- name: reset_limit
DELETE FROM {schema}.limit_changes WHERE name = :name RETURNING name;

-- name: list_limits
SELECT name, allowed, per, burst FROM {schema}.limit_changes ORDER BY name;

-- name: prune_limits
DELETE FROM {schema}.limits
WHERE key IN (SELECT key FROM {schema}.limits WHERE look_at <= {now} ORDER BY look_at LIMIT :limit)
RETURNING key;

-- name: prune_limits_slots
-- A slot whose job does not run is free, whatever became of the job.
UPDATE {schema}.slots SET is_free = 1
WHERE is_free = 0 AND NOT EXISTS (SELECT FROM {schema}.jobs WHERE id = slots.job AND state || '' = 'running')
  AND NOT EXISTS (SELECT FROM {schema}.outbox AS ended WHERE ended.job = slots.job);

-- name: prune_limits_wake
UPDATE {schema}.lanes SET next_at = {now}
WHERE next_at IS NULL AND EXISTS (SELECT FROM {schema}.jobs AS job
                                  WHERE job.state = 'held' AND job.lane = lanes.lane AND job.lane IS NOT NULL
                                    AND job.paused_by IS NULL);

-- name: prune_limits_unpark
-- Lanes that wait for a slot of a key of which no job runs.
UPDATE {schema}.lanes SET parked_on = NULL, next_at = {now}
WHERE parked_on IS NOT NULL AND NOT EXISTS (SELECT FROM {schema}.slots WHERE key = parked_on);

-- name: prune_limits_lanes
DELETE FROM {schema}.lanes
WHERE lane IN (SELECT lane FROM {schema}.lanes WHERE next_at IS NULL LIMIT :limit)
RETURNING lane;

-- name: list_full_keys
-- Looks at :most waiting lanes only: there may be any number of them, and this is for display.
SELECT parked_on, min(lane),
       (SELECT count(*) FROM {schema}.slots AS slot WHERE slot.key = parked_on AND slot.is_free = 0)
FROM (SELECT parked_on, lane FROM {schema}.lanes WHERE parked_on IS NOT NULL ORDER BY parked_on LIMIT :most) AS waiting
GROUP BY parked_on ORDER BY parked_on LIMIT :limit;

-- name: list_full_keys_lanes
-- Now, and the first lanes that wait for a certain moment, as they do when a rate is used up.
SELECT moment.now, waiting.lane
FROM (SELECT {now} AS now) AS moment
LEFT JOIN (SELECT lane FROM {schema}.lanes
           WHERE parked_on IS NULL AND next_at IS NOT NULL AND next_at > {now} ORDER BY next_at LIMIT :most) AS waiting ON TRUE;
