-- name: register_worker
WITH moment AS MATERIALIZED (SELECT {now} AS now)
INSERT INTO {schema}.workers (host, pid, version, queues, tasks, concurrency, started_at, renewed_at, expires_at,
                              gapless_since)
SELECT :host, :pid, :version, :queues::json, :tasks::json, :concurrency, now, now, now + :lease::bigint, now
FROM moment
RETURNING id;

-- name: admit_jobs
WITH held AS MATERIALIZED ({which})
UPDATE {schema}.jobs SET state = 'ready', reason = NULL WHERE id = ANY (ARRAY(SELECT id FROM held))
RETURNING id;

-- name: admit_jobs_held
SELECT id FROM {schema}.jobs
WHERE state = 'held' AND lane IS NULL AND paused_by IS NULL
  AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json)))
LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: renew_lease
-- A lease that ran out can still be extended if nobody declared the worker dead: its claims are still current.
WITH moment AS MATERIALIZED (SELECT {now} AS now)
UPDATE {schema}.workers
SET renewed_at = now, expires_at = now + :lease::bigint, memory = coalesce(:memory::bigint, memory),
    blocked_since = now - :blocked_for::bigint, blocked_by = :blocked_by,
    gapless_since = CASE WHEN expires_at > now AND renewed_at <= now THEN gapless_since ELSE now END
FROM moment
WHERE id = :worker AND stopped_at IS NULL
RETURNING asked_to;

-- name: retire_worker
-- Both times are equal, which tells it from a worker that was declared dead: that stopped after its lease ran out.
WITH moment AS MATERIALIZED (SELECT {now} AS now)
UPDATE {schema}.workers SET stopped_at = now, expires_at = now FROM moment WHERE id = :worker AND stopped_at IS NULL;

-- name: rescue_jobs_workers
-- The rescuer must have held its own lease without a gap for one lease time (its own or the other's, whichever is longer):
-- after an outage or a suspended machine every lease has run out, and the first to look would declare the others dead before
-- they can renew. And it must have renewed its lease recently: if it waited here for most of a lease, for a lock or the disk,
-- the others may be waiting too. If the clock was set back by more than a lease (or a standby took over whose clock is
-- behind), the lease of a worker that died before would seem to last until the old time comes again: so a worker that has
-- not renewed since then is dead too. The rescuer has renewed, and for it the gapless time began anew, so that all others
-- had the time to renew as well.
UPDATE {schema}.workers AS other SET stopped_at = {now}
WHERE stopped_at IS NULL AND id <> :worker AND EXISTS (
    SELECT FROM {schema}.workers AS own
    WHERE own.id = :worker AND own.stopped_at IS NULL AND own.expires_at > {now}
      AND {now} - own.renewed_at BETWEEN 0 AND (own.expires_at - own.renewed_at) / 2
      AND {now} - own.gapless_since >=
          greatest(own.expires_at - own.renewed_at, other.expires_at - other.renewed_at)
      AND (other.expires_at <= {now} OR other.renewed_at - {now} >
          greatest(own.expires_at - own.renewed_at, other.expires_at - other.renewed_at)))
RETURNING id;

-- name: declare_dead
UPDATE {schema}.workers SET stopped_at = {now} WHERE id = :worker AND stopped_at IS NULL RETURNING id;

-- name: rescue_jobs
-- A loose index scan, with one probe for each worker that has running jobs, so that the cost does not grow with these.
WITH RECURSIVE owner(worker) AS (
    (SELECT worker FROM {schema}.jobs WHERE state = 'running' ORDER BY worker LIMIT 1)
    UNION ALL
    SELECT (SELECT job.worker FROM {schema}.jobs AS job
            WHERE state = 'running' AND job.worker > owner.worker ORDER BY job.worker LIMIT 1)
    FROM owner WHERE owner.worker IS NOT NULL
)
SELECT id, queue, task, {now} - started_at, crashes, cancel_requested_at, lane, workflow, fence, worker, started_at
FROM {schema}.jobs
WHERE state = 'running' AND worker = ANY (ARRAY(
    SELECT worker FROM owner
    WHERE worker IS NOT NULL
      AND NOT EXISTS (SELECT FROM {schema}.workers AS live WHERE live.id = owner.worker AND stopped_at IS NULL)))
LIMIT 5000 FOR UPDATE SKIP LOCKED;

-- name: rescue_jobs_outbox
DELETE FROM {schema}.outbox
WHERE NOT EXISTS (SELECT FROM {schema}.workers AS live WHERE live.id = outbox.worker AND stopped_at IS NULL)
RETURNING job, queue, task, run_time, workflow;

-- name: rescue_jobs_outbox_find
SELECT job, fence FROM {schema}.outbox
WHERE NOT EXISTS (SELECT FROM {schema}.workers AS live WHERE live.id = outbox.worker AND stopped_at IS NULL)
ORDER BY job, fence;

-- name: rescue_jobs_attempts
INSERT INTO {schema}.attempts (
    job, fence, attempt, outcome, started_at, finished_at, worker, error_type, error_message)
SELECT id, fence, attempt, 'crashed', started_at, {now}, worker, 'WorkerDied',
       'its worker died: its process ended, or it stopped renewing its lease'
FROM {schema}.jobs WHERE id = {ids}
ON CONFLICT (job, fence) DO UPDATE
SET outcome = excluded.outcome, finished_at = excluded.finished_at, error_type = excluded.error_type,
    error_message = excluded.error_message, traceback = NULL;

-- name: rescue_jobs_return
UPDATE {schema}.jobs
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, worker = NULL, attempt = attempt - 1,
    crashes = crashes + 1, started_at = NULL, expires_at = NULL
WHERE id = {ids};

-- name: rescue_jobs_dead
-- The first crash may have been another job's fault, so the number is that of the crashes after it.
UPDATE {schema}.jobs
SET state = 'dead', finished_at = {now}, attempt = attempt - 1, crashes = crashes + 1,
    error_type = 'WorkerDied', reason = 'crashed its worker ' || greatest(crashes, 1) || ' times, the first crash not counted',
    fingerprint = task || ':WorkerDied'
WHERE id = {ids};

-- name: return_unanswered_claims
SELECT id, fence FROM {schema}.jobs WHERE state = 'running' AND worker = :worker;

-- name: find_cancelled
SELECT id FROM {schema}.jobs WHERE state = 'running' AND worker = :worker AND cancel_requested_at IS NOT NULL;

-- name: ask_worker
-- A worker that was asked to stop is not turned into one that is only quiet.
UPDATE {schema}.workers SET asked_to = CASE WHEN asked_to = 'stop' THEN 'stop' ELSE :what END
WHERE id = :worker AND stopped_at IS NULL
RETURNING id;

-- name: list_workers
SELECT id, host, pid, version, queues::text, tasks::text, concurrency, started_at, renewed_at, expires_at, stopped_at,
       stopped_at IS NULL AND expires_at > {now},
       (SELECT count(*) FROM {schema}.jobs AS job WHERE job.state = 'running' AND job.worker = workers.id),
       memory, asked_to, blocked_since, blocked_by
FROM {schema}.workers
WHERE stopped_at IS NULL OR stopped_at > {now} - 3600000000
ORDER BY id DESC;
