-- name: register_worker
INSERT INTO turnspit_workers (host, pid, version, queues, tasks, concurrency, started_at, renewed_at, expires_at,
                              gapless_since)
SELECT :host, :pid, :version, :queues, :tasks, :concurrency, moment, moment, moment + :lease, moment
FROM (SELECT {now} AS moment)
RETURNING id;

-- name: admit_jobs
UPDATE turnspit_jobs SET state = 'ready', reason = NULL WHERE id IN ({which}) RETURNING id;

-- name: admit_jobs_held
SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_held
WHERE state = 'held' AND lane IS NULL AND paused_by IS NULL AND task IN (SELECT value FROM json_each(:tasks))
LIMIT :limit;

-- name: renew_lease
-- A lease that ran out can still be extended if nobody declared the worker dead: its claims are still current.
UPDATE turnspit_workers
SET renewed_at = {now}, expires_at = {now} + :lease, memory = coalesce(:memory, memory),
    blocked_since = {now} - :blocked_for, blocked_by = :blocked_by,
    gapless_since = CASE WHEN expires_at > {now} AND renewed_at <= {now} THEN gapless_since ELSE {now} END
WHERE id = :worker AND stopped_at IS NULL
RETURNING asked_to;

-- name: retire_worker
UPDATE turnspit_workers SET stopped_at = {now}, expires_at = {now} WHERE id = :worker AND stopped_at IS NULL;

-- name: rescue_jobs_workers
-- The rescuer must have held its own lease without a gap for one lease time (its own or the other's, whichever is longer):
-- after an outage or a suspended machine every lease has run out, and the first to look would declare the others dead before
-- they can renew. And it must have renewed its lease recently: if it waited here for most of a lease, for a lock or the disk,
-- the others may be waiting too. If the clock was set back by more than a lease (or a standby took over whose clock is
-- behind), the lease of a worker that died before would seem to last until the old time comes again: so a worker that has
-- not renewed since then is dead too. The rescuer has renewed, and for it the gapless time began anew, so that all others
-- had the time to renew as well.
UPDATE turnspit_workers SET stopped_at = {now}
WHERE stopped_at IS NULL AND id <> :worker AND EXISTS (
    SELECT 1 FROM turnspit_workers AS own
    WHERE own.id = :worker AND own.stopped_at IS NULL AND own.expires_at > {now}
      AND {now} - own.renewed_at BETWEEN 0 AND (own.expires_at - own.renewed_at) / 2
      AND {now} - own.gapless_since >=
          max(own.expires_at - own.renewed_at, turnspit_workers.expires_at - turnspit_workers.renewed_at)
      AND (turnspit_workers.expires_at <= {now} OR turnspit_workers.renewed_at - {now} >
          max(own.expires_at - own.renewed_at, turnspit_workers.expires_at - turnspit_workers.renewed_at)))
RETURNING id;

-- name: declare_dead
UPDATE turnspit_workers SET stopped_at = {now} WHERE id = :worker AND stopped_at IS NULL RETURNING id;

-- name: rescue_jobs
SELECT id, queue, task, {now} - started_at, crashes, cancel_requested_at, lane, workflow, fence, worker, started_at
FROM turnspit_jobs INDEXED BY turnspit_jobs_running
WHERE state = 'running' AND worker NOT IN (SELECT id FROM turnspit_workers WHERE stopped_at IS NULL)
LIMIT 5000;

-- name: rescue_jobs_outbox
DELETE FROM turnspit_outbox
WHERE NOT EXISTS (SELECT 1 FROM turnspit_workers AS live WHERE live.id = turnspit_outbox.worker AND stopped_at IS NULL)
RETURNING job, queue, task, run_time, workflow;

-- name: rescue_jobs_outbox_find
SELECT job, fence FROM turnspit_outbox
WHERE NOT EXISTS (SELECT 1 FROM turnspit_workers AS live WHERE live.id = turnspit_outbox.worker AND stopped_at IS NULL)
ORDER BY job, fence;

-- name: rescue_jobs_attempts
INSERT OR REPLACE INTO turnspit_attempts (
    job, fence, attempt, outcome, started_at, finished_at, worker, error_type, error_message)
SELECT id, fence, attempt, 'crashed', started_at, {now}, worker, 'WorkerDied',
       'its worker died: its process ended, or it stopped renewing its lease'
FROM turnspit_jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: rescue_jobs_return
UPDATE turnspit_jobs
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, worker = NULL, attempt = attempt - 1,
    crashes = crashes + 1, started_at = NULL, expires_at = NULL
WHERE id IN (SELECT value FROM json_each(:ids));

-- name: rescue_jobs_dead
-- The first crash may have been another job's fault, so the number is that of the crashes after it.
UPDATE turnspit_jobs
SET state = 'dead', finished_at = {now}, attempt = attempt - 1, crashes = crashes + 1,
    error_type = 'WorkerDied', reason = 'crashed its worker ' || max(crashes, 1) || ' times, the first crash not counted',
    fingerprint = task || ':WorkerDied'
WHERE id IN (SELECT value FROM json_each(:ids));

-- name: return_unanswered_claims
SELECT id, fence FROM turnspit_jobs WHERE state = 'running' AND worker = :worker;

-- name: find_cancelled
SELECT id FROM turnspit_jobs WHERE state = 'running' AND worker = :worker AND cancel_requested_at IS NOT NULL;

-- name: ask_worker
-- A worker that was asked to stop is not turned into one that is only quiet.
UPDATE turnspit_workers SET asked_to = CASE WHEN asked_to = 'stop' THEN 'stop' ELSE :what END
WHERE id = :worker AND stopped_at IS NULL
RETURNING id;

-- name: list_workers
SELECT id, host, pid, version, queues, tasks, concurrency, started_at, renewed_at, expires_at, stopped_at,
       stopped_at IS NULL AND expires_at > {now},
       (SELECT count(*) FROM turnspit_jobs AS job WHERE job.state = 'running' AND job.worker = turnspit_workers.id),
       memory, asked_to, blocked_since, blocked_by
FROM turnspit_workers
WHERE stopped_at IS NULL OR stopped_at > {now} - 3600000000
ORDER BY id DESC;
