-- {where} stands for the caller's filter (see filters.py). Both lists name the columns of JobRecord in its order; what may
-- be long is cut after `preview` characters.

-- name: list_jobs_live
SELECT id, task, queue, state, CASE WHEN :preview IS NULL THEN args ELSE substr(args, 1, :preview) END, priority,
       attempt, crashes, fence, created_at, run_at, started_at, finished_at,
       (SELECT host || ':' || pid || '#' || id FROM turnspit_workers WHERE id = job.worker),
       retry, timeout, tags, CASE WHEN :preview IS NULL THEN metadata ELSE substr(metadata, 1, :preview) END, progress,
       progress_message, cancel_requested_at, reason, error_type, fingerprint, NULL,
       unique_key, workflow, expires_at, progress_data
FROM turnspit_jobs AS job WHERE {where} AND id < :before

-- name: list_jobs_final
SELECT id, task, queue, state, CASE WHEN :preview IS NULL THEN args ELSE substr(args, 1, :preview) END, priority,
       attempt, crashes, fence, created_at, run_at, started_at, finished_at,
       (SELECT host || ':' || pid || '#' || id FROM turnspit_workers WHERE id = job.worker),
       retry, timeout, tags, CASE WHEN :preview IS NULL THEN metadata ELSE substr(metadata, 1, :preview) END, progress,
       progress_message, cancel_requested_at, reason, error_type, fingerprint,
       CASE WHEN :preview IS NULL THEN result END, unique_key, workflow, NULL, progress_data
FROM turnspit_history AS job WHERE {where} AND id < :before

-- name: list_jobs_attempts
SELECT job, attempt, fence, outcome, started_at, finished_at,
       (SELECT host || ':' || pid || '#' || id FROM turnspit_workers WHERE id = turnspit_attempts.worker),
       error_type, error_message, traceback
FROM turnspit_attempts WHERE job IN (SELECT value FROM json_each(:ids)) ORDER BY job, fence;

-- name: count_jobs_live
SELECT count(*) FROM turnspit_jobs WHERE {where};

-- name: count_jobs_final
SELECT count(*) FROM turnspit_history WHERE {where};

-- name: list_logs
SELECT attempt, at, level, message FROM turnspit_logs WHERE job = :id ORDER BY id;

-- name: group_dead_letters
SELECT fingerprint, min(task), min(error_type), max(reason), count(*), max(id), min(finished_at), max(finished_at)
FROM turnspit_jobs INDEXED BY turnspit_jobs_dead_groups
WHERE state = 'dead' AND (:task IS NULL OR task = :task)
GROUP BY fingerprint ORDER BY count(*) DESC, max(id) DESC;

-- name: list_queues
-- Each state by its own partial index; ready jobs, of which there may be many, by the index alone.
-- (One pass over a million rows took 900 ms, this 60 ms.)
SELECT queue, 'ready', count(*) FROM turnspit_jobs WHERE state = 'ready' GROUP BY queue
UNION ALL
SELECT queue, CASE WHEN attempt = 0 THEN 'scheduled' ELSE 'retrying' END, count(*)
FROM turnspit_jobs WHERE state = 'scheduled' GROUP BY 1, 2
UNION ALL
SELECT queue, 'held', count(*) FROM turnspit_jobs WHERE state = 'held' GROUP BY queue
UNION ALL
SELECT queue, 'running', count(*) FROM turnspit_jobs WHERE state = 'running' GROUP BY queue
UNION ALL
SELECT queue, 'dead', count(*) FROM turnspit_jobs WHERE state = 'dead' GROUP BY queue;

-- name: list_queues_oldest
-- Only the first job of each priority of each queue is looked at, found by loose index scans.
WITH RECURSIVE busy(queue) AS (
    SELECT min(queue) FROM turnspit_jobs WHERE state = 'ready'
    UNION ALL
    SELECT (SELECT min(queue) FROM turnspit_jobs WHERE state = 'ready' AND queue > busy.queue)
    FROM busy WHERE busy.queue IS NOT NULL
), line(queue, priority) AS (
    SELECT queue, (SELECT max(priority) FROM turnspit_jobs AS job WHERE state = 'ready' AND job.queue = busy.queue)
    FROM busy WHERE queue IS NOT NULL
    UNION ALL
    SELECT queue, (SELECT max(priority) FROM turnspit_jobs AS job
                   WHERE state = 'ready' AND job.queue = line.queue AND job.priority < line.priority)
    FROM line WHERE priority IS NOT NULL
)
SELECT queue, min((SELECT run_at FROM turnspit_jobs AS job
                   WHERE state = 'ready' AND job.queue = line.queue AND job.priority = line.priority
                   ORDER BY id LIMIT 1))
FROM line WHERE priority IS NOT NULL GROUP BY queue;

-- name: list_queues_finished
SELECT queue, sum(CASE WHEN outcome = 'completed' THEN count ELSE 0 END),
       sum(CASE WHEN outcome IN ('failed', 'dead', 'crashed') THEN count ELSE 0 END)
FROM turnspit_counters WHERE minute > {now} / 60000000 - 60 GROUP BY queue;

-- name: list_tasks
SELECT task, sum(state = 'ready'), sum(state = 'scheduled'), sum(state IN ('held', 'blocked')), sum(state = 'running'),
       sum(state = 'dead'), min(CASE WHEN state = 'ready' THEN run_at END)
FROM turnspit_jobs GROUP BY task ORDER BY task;

-- name: count_waiting
SELECT (SELECT count(*) FROM (SELECT 1 FROM turnspit_jobs WHERE state = 'ready' AND queue = :queue LIMIT :most))
     + (SELECT count(*) FROM (SELECT 1 FROM turnspit_jobs WHERE state = 'held' AND queue = :queue LIMIT :most));

-- name: count_ready_or_running
-- Each state by its own partial index: a worker with --until-empty asks often, perhaps beside a million other jobs.
SELECT (
    SELECT count(*) FROM turnspit_jobs
    WHERE state = 'ready' AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
      AND queue NOT IN {paused_queues} AND task NOT IN {paused_tasks} AND (tags IS NULL OR {paused_tag} IS NULL)
      AND task IN (SELECT value FROM json_each(:tasks))
) + (
    SELECT count(*) FROM turnspit_jobs
    WHERE state = 'running' AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
      AND task IN (SELECT value FROM json_each(:tasks))
) + EXISTS (
    SELECT 1 FROM turnspit_jobs
    WHERE state = 'held' AND lane IS NOT NULL AND paused_by IS NULL
      AND queue NOT IN {paused_queues} AND task NOT IN {paused_tasks} AND (tags IS NULL OR {paused_tag} IS NULL)
      AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
      AND task IN (SELECT value FROM json_each(:tasks))
) + (
    -- Jobs that the rest of a large fan-out is about to make ready.
    SELECT count(*) FROM turnspit_workflow_ends
) + (
    SELECT count(*) FROM turnspit_workflows WHERE look_at IS NOT NULL AND starting_after IS NOT NULL
);

-- name: count_scheduled
-- Once, at the end of a worker with --until-empty.
SELECT count(*), min(run_at) FROM turnspit_jobs
WHERE state = 'scheduled' AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
  AND task IN (SELECT value FROM json_each(:tasks));

-- name: find_duties
-- Every worker asks this every second or two. Each part ends at its first row; the workers that own running jobs are found
-- by a loose index scan.
WITH RECURSIVE owner(worker) AS (
    SELECT min(worker) FROM turnspit_jobs WHERE state = 'running'
    UNION ALL
    SELECT (SELECT min(worker) FROM turnspit_jobs WHERE state = 'running' AND worker > owner.worker)
    FROM owner WHERE owner.worker IS NOT NULL
), named(pause) AS (
    SELECT min(paused_by) FROM turnspit_jobs WHERE paused_by IS NOT NULL
    UNION ALL
    SELECT (SELECT min(paused_by) FROM turnspit_jobs WHERE paused_by > named.pause)
    FROM named WHERE named.pause IS NOT NULL
)
SELECT CASE WHEN :queues IS NULL THEN EXISTS (SELECT 1 FROM turnspit_jobs WHERE state = 'ready')
            ELSE EXISTS (SELECT 1 FROM json_each(:queues) AS served
                         WHERE EXISTS (SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_ready
                                       WHERE state = 'ready' AND queue = served.value)) END,
       (SELECT min(due) FROM (
           SELECT min(run_at) AS due FROM turnspit_jobs WHERE state = 'scheduled'
           UNION ALL
           SELECT min(expires_at) FROM turnspit_jobs INDEXED BY turnspit_jobs_expires
           WHERE expires_at IS NOT NULL AND state IN ('ready', 'held', 'scheduled', 'blocked'))) - moment,
       EXISTS (SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_held
               WHERE state = 'held' AND lane IS NULL AND paused_by IS NULL
                 AND task IN (SELECT value FROM json_each(:tasks)))
       OR EXISTS (SELECT 1 FROM named WHERE pause IS NOT NULL AND NOT EXISTS (
           SELECT 1 FROM turnspit_pauses WHERE kind || ' ' || name = named.pause)),
       (SELECT count(*) FROM turnspit_jobs WHERE state = 'running' AND worker = :worker),
       EXISTS (SELECT 1 FROM turnspit_jobs
               WHERE state = 'running' AND worker = :worker AND cancel_requested_at IS NOT NULL),
       EXISTS (SELECT 1 FROM turnspit_workers WHERE stopped_at IS NULL AND id <> :worker
                 AND (expires_at <= moment OR renewed_at - moment > expires_at - renewed_at))
       OR EXISTS (SELECT 1 FROM owner WHERE worker IS NOT NULL AND NOT EXISTS (
           SELECT 1 FROM turnspit_workers AS live WHERE live.id = owner.worker AND stopped_at IS NULL))
       OR EXISTS (SELECT 1 FROM turnspit_outbox WHERE NOT EXISTS (
           SELECT 1 FROM turnspit_workers AS live WHERE live.id = turnspit_outbox.worker AND stopped_at IS NULL)),
       (SELECT min(CASE WHEN waiting <> '[]' THEN min(next_tick, moment + 1000000) ELSE next_tick END) - moment
        FROM turnspit_schedules
        WHERE paused_at IS NULL AND task IN (SELECT value FROM json_each(:tasks))),
       (SELECT max(paused_at) FROM turnspit_pauses),
       CASE WHEN EXISTS (SELECT 1 FROM turnspit_workflow_ends) THEN 0
            ELSE (SELECT min(look_at) FROM turnspit_workflows WHERE look_at IS NOT NULL) - moment END,
       EXISTS (SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_lane
               WHERE state = 'held' AND lane IS NOT NULL AND paused_by IS NULL),
       (SELECT asked_to FROM turnspit_workers WHERE id = :worker)
FROM (SELECT {now} AS moment);
