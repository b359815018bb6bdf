-- Nobody else can write meanwhile, so one claim at a time decides about limits.

-- name: free_slots
UPDATE turnspit_slots SET is_free = 1 WHERE job IN (SELECT value FROM json_each(:ids)) RETURNING job;

-- name: free_slots_of_ended
-- Not the slot of a job that was replayed and runs again.
UPDATE turnspit_slots SET is_free = 1
WHERE job IN (SELECT value FROM json_each(:ids))
  AND NOT EXISTS (SELECT 1 FROM turnspit_jobs WHERE id = turnspit_slots.job AND state = 'running')
RETURNING job;

-- name: claim_limited_jobs_look
SELECT live AND (
           EXISTS (SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_unlisted
                   WHERE state = 'held' AND lane IS NOT NULL AND NOT is_listed)
           OR EXISTS (SELECT 1 FROM turnspit_slots INDEXED BY turnspit_slots_free WHERE is_free)
           OR coalesce(next_at <= moment, 0)),
       CASE WHEN live THEN max(0, next_at - moment) END,
       EXISTS (SELECT 1 FROM turnspit_pauses WHERE kind = 'tag')
FROM (
    SELECT {now} AS moment,
           EXISTS (SELECT 1 FROM turnspit_workers WHERE id = :worker AND stopped_at IS NULL) AS live,
           (SELECT next_at FROM turnspit_lanes INDEXED BY turnspit_lanes_next_at
            WHERE parked_on IS NULL AND next_at IS NOT NULL
              AND task IN (SELECT value FROM json_each(:tasks)) AND task NOT IN {paused_tasks}
              AND queue NOT IN {paused_queues}
              AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
            ORDER BY next_at LIMIT 1) AS next_at
);

-- name: claim_limited_jobs_lock
SELECT 1;

-- name: claim_limited_jobs_list
UPDATE turnspit_jobs SET is_listed = 1
WHERE id IN (SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_unlisted
             WHERE state = 'held' AND lane IS NOT NULL AND NOT is_listed ORDER BY id LIMIT :limit)
RETURNING lane;

-- name: claim_limited_jobs_lanes
-- A new lane is due before those that are served at this moment.
INSERT INTO turnspit_lanes (lane, queue, task, next_at)
SELECT json_extract(value, '$.lane'), json_extract(value, '$.queue'), json_extract(value, '$.task'), moment - 1
FROM (SELECT {now} AS moment), json_each(:lanes) WHERE true
ON CONFLICT (lane) DO UPDATE
SET next_at = CASE WHEN substr(lane, 1, 1) = '"' THEN min(coalesce(next_at, excluded.next_at), excluded.next_at)
                   ELSE coalesce(next_at, excluded.next_at) END;

-- name: claim_limited_jobs_freed
DELETE FROM turnspit_slots WHERE is_free RETURNING key;

-- name: claim_limited_jobs_unpark
-- Lanes of tasks and queues that this worker serves come first: a lane that nobody serves would keep the slot to itself.
UPDATE turnspit_lanes SET parked_on = NULL, next_at = {now}
WHERE lane IN (
    SELECT lane FROM turnspit_lanes WHERE parked_on = :key
    ORDER BY task IN (SELECT value FROM json_each(:tasks)) AND task NOT IN {paused_tasks}
             AND queue NOT IN {paused_queues}
             AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues))) DESC, next_at
    LIMIT :share
)
RETURNING lane;

-- name: claim_limited_jobs
SELECT lane,
       (SELECT count(*) FROM (SELECT 1 FROM turnspit_jobs AS job INDEXED BY turnspit_jobs_lane
                              WHERE job.state = 'held' AND job.lane = due.lane AND job.lane IS NOT NULL
                                AND job.paused_by IS NULL LIMIT :most)),
       moment
FROM (SELECT {now} AS moment) CROSS JOIN turnspit_lanes AS due INDEXED BY turnspit_lanes_next_at
WHERE parked_on IS NULL AND next_at IS NOT NULL AND next_at <= moment
  AND task IN (SELECT value FROM json_each(:tasks)) AND task NOT IN {paused_tasks} AND queue NOT IN {paused_queues}
  AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
ORDER BY next_at, lane LIMIT :limit;

-- name: claim_limited_jobs_paused
-- Holds the jobs with a paused tag among the first of a lane, for that pause.
UPDATE turnspit_jobs SET paused_by = pause, reason = 'paused: ' || pause
FROM (SELECT id AS found, {paused_tag} AS pause
      FROM (SELECT id, tags FROM turnspit_jobs INDEXED BY turnspit_jobs_lane
            WHERE state = 'held' AND lane = :lane AND lane IS NOT NULL AND paused_by IS NULL
            ORDER BY priority DESC, id LIMIT :most))
WHERE id = found AND pause IS NOT NULL
RETURNING id;

-- name: claim_limited_jobs_rates
SELECT key, admitted, held_back_until FROM turnspit_limits WHERE key IN (SELECT value FROM json_each(:keys));

-- name: claim_limited_jobs_taken
SELECT key, count(*) FROM turnspit_slots WHERE key IN (SELECT value FROM json_each(:keys)) GROUP BY key;

-- name: claim_limited_jobs_take
UPDATE turnspit_jobs
SET state = 'running', worker = :worker, fence = fence + 1, attempt = attempt + 1, started_at = {now}, is_listed = 0
WHERE id IN (SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_lane
             WHERE state = 'held' AND lane = :lane AND lane IS NOT NULL AND paused_by IS NULL
               AND (expires_at IS NULL OR expires_at > {now}) ORDER BY priority DESC, id LIMIT :share)
RETURNING id, fence, task, queue, args, attempt, crashes, priority, created_at, run_at, started_at,
          retry, timeout, tags, metadata, lane, unique_key, workflow, cursor;

-- name: claim_limited_jobs_heads
SELECT :order, id, lane, state, run_at, paused_by IS NULL AND (expires_at IS NULL OR expires_at > {now}),
       paused_by IS NOT NULL
FROM turnspit_jobs INDEXED BY turnspit_jobs_ordered
WHERE {order} = :order AND {ordered}
ORDER BY id LIMIT 1;

-- name: claim_limited_jobs_heads_take
UPDATE turnspit_jobs NOT INDEXED
SET state = 'running', worker = :worker, fence = fence + 1, attempt = attempt + 1, started_at = {now}, is_listed = 0
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'held'
RETURNING id, fence, task, queue, args, attempt, crashes, priority, created_at, run_at, started_at,
          retry, timeout, tags, metadata, lane, unique_key, workflow, cursor;

-- name: claim_limited_jobs_slots
INSERT INTO turnspit_slots (key, job)
SELECT json_extract(value, '$.key'), json_extract(value, '$.job') FROM json_each(:slots) WHERE true
ON CONFLICT (job, key) DO UPDATE SET is_free = 0;

-- name: claim_limited_jobs_admitted
INSERT INTO turnspit_limits (key, admitted, held_back_until, look_at)
SELECT json_extract(value, '$.key'), json_extract(value, '$.admitted'), 0, json_extract(value, '$.look_at')
FROM json_each(:rates) WHERE true
ON CONFLICT (key) DO UPDATE SET admitted = excluded.admitted, look_at = max(look_at, excluded.look_at);

-- name: claim_limited_jobs_after
UPDATE turnspit_lanes SET next_at = after.next_at, parked_on = after.parked_on
FROM (SELECT json_extract(value, '$.lane') AS lane, json_extract(value, '$.next_at') AS next_at,
             json_extract(value, '$.parked_on') AS parked_on FROM json_each(:lanes)) AS after
WHERE turnspit_lanes.lane = after.lane;

-- name: assign_lanes
UPDATE turnspit_jobs SET lane = json_extract(new.value, '$[2]'), is_listed = 0
FROM json_each(:lanes) AS new
WHERE turnspit_jobs.id = json_extract(new.value, '$[0]') AND fence = json_extract(new.value, '$[1]') AND state = 'running';

-- name: acquire_permit
SELECT {now};

-- name: hold_back
INSERT INTO turnspit_limits (key, admitted, held_back_until, look_at)
SELECT value, '[]', moment + :delay, moment + :delay FROM (SELECT {now} AS moment), json_each(:keys) WHERE true
ON CONFLICT (key) DO UPDATE
SET held_back_until = max(held_back_until, excluded.held_back_until), look_at = max(look_at, excluded.look_at);

-- name: set_limit
INSERT INTO turnspit_limit_changes (name, allowed, per, burst) VALUES (:name, :allowed, :per, :burst)
ON CONFLICT (name) DO UPDATE SET allowed = excluded.allowed, per = excluded.per, burst = excluded.burst;

-- name: set_limit_look_again
UPDATE turnspit_lanes SET parked_on = NULL, next_at = min(next_at, {now}) WHERE next_at IS NOT NULL;

-- name: reset_limit
DELETE FROM turnspit_limit_changes WHERE name = :name RETURNING name;

-- name: list_limits
SELECT name, allowed, per, burst FROM turnspit_limit_changes ORDER BY name;

-- name: prune_limits
DELETE FROM turnspit_limits
WHERE key IN (SELECT key FROM turnspit_limits WHERE look_at <= {now} ORDER BY look_at LIMIT :limit)
RETURNING key;

-- name: prune_limits_slots
-- A slot whose job does not run is free, whatever became of the job.
UPDATE turnspit_slots SET is_free = 1
WHERE NOT is_free AND NOT EXISTS (SELECT 1 FROM turnspit_jobs WHERE id = turnspit_slots.job AND state = 'running')
  AND NOT EXISTS (SELECT 1 FROM turnspit_outbox AS ended WHERE ended.job = turnspit_slots.job);

-- name: prune_limits_wake
UPDATE turnspit_lanes SET next_at = {now}
WHERE next_at IS NULL AND EXISTS (SELECT 1 FROM turnspit_jobs AS job INDEXED BY turnspit_jobs_lane
                                  WHERE job.state = 'held' AND job.lane = turnspit_lanes.lane AND job.lane IS NOT NULL
                                    AND job.paused_by IS NULL);

-- name: prune_limits_unpark
-- Lanes that wait for a slot of a key of which no job runs.
UPDATE turnspit_lanes SET parked_on = NULL, next_at = {now}
WHERE parked_on IS NOT NULL AND NOT EXISTS (SELECT 1 FROM turnspit_slots WHERE key = parked_on);

-- name: prune_limits_lanes
DELETE FROM turnspit_lanes
WHERE lane IN (SELECT lane FROM turnspit_lanes WHERE next_at IS NULL LIMIT :limit)
RETURNING lane;

-- name: list_full_keys
-- Looks at :most waiting lanes only: there may be any number of them, and this is for display.
SELECT parked_on, min(lane),
       (SELECT count(*) FROM turnspit_slots AS slot WHERE slot.key = parked_on AND slot.is_free = 0)
FROM (SELECT parked_on, lane FROM turnspit_lanes WHERE parked_on IS NOT NULL ORDER BY parked_on LIMIT :most) AS waiting
GROUP BY parked_on ORDER BY parked_on LIMIT :limit;

-- name: list_full_keys_lanes
-- Now, and the first lanes that wait for a certain moment, as they do when a rate is used up.
SELECT moment, lane
FROM (SELECT {now} AS moment)
LEFT JOIN (SELECT lane FROM turnspit_lanes INDEXED BY turnspit_lanes_next_at
           WHERE parked_on IS NULL AND next_at IS NOT NULL AND next_at > {now} ORDER BY next_at LIMIT :most) ON true;
