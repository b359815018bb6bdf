-- {where} stands for the caller's filter (see filters.py). Both lists name the columns of JobRecord in its order; what may
-- be long is cut after `preview` characters.

-- name: list_jobs_live
-- Each table gives its own newest, by its index: a union that is sorted as a whole reads both from end to end.
SELECT * FROM (
    SELECT id, task, queue, state,
           CASE WHEN :preview::integer IS NULL THEN args::text ELSE left(args::text, :preview::integer) END, priority,
           attempt, crashes, fence, created_at, run_at, started_at, finished_at,
           (SELECT host || ':' || pid || '#' || id FROM {schema}.workers WHERE id = job.worker),
           retry, timeout, tags::text,
           CASE WHEN :preview::integer IS NULL THEN metadata::text ELSE left(metadata::text, :preview::integer) END,
           progress, progress_message, cancel_requested_at, reason, error_type, fingerprint, NULL::text, unique_key, workflow,
           expires_at, progress_data
    FROM {schema}.jobs AS job WHERE {where} AND id < :before
    ORDER BY id DESC LIMIT :limit
) AS list_jobs_live

-- name: list_jobs_final
SELECT * FROM (
    SELECT id, task, queue, state,
           CASE WHEN :preview::integer IS NULL THEN args::text ELSE left(args::text, :preview::integer) END, priority,
           attempt, crashes, fence, created_at, run_at, started_at, finished_at,
           (SELECT host || ':' || pid || '#' || id FROM {schema}.workers WHERE id = job.worker),
           retry, timeout, tags::text,
           CASE WHEN :preview::integer IS NULL THEN metadata::text ELSE left(metadata::text, :preview::integer) END,
           progress, progress_message, cancel_requested_at, reason, error_type, fingerprint,
           CASE WHEN :preview::integer IS NULL THEN result END, unique_key, workflow, NULL::bigint, progress_data
    FROM {schema}.history AS job WHERE {where} AND id < :before
    ORDER BY id DESC LIMIT :limit
) AS list_jobs_final

-- name: list_jobs_attempts
SELECT job, attempt, fence, outcome, started_at, finished_at,
       (SELECT host || ':' || pid || '#' || id FROM {schema}.workers WHERE id = attempts.worker),
       error_type, error_message, traceback
FROM {schema}.attempts WHERE job = {ids} ORDER BY job, fence;

-- name: count_jobs_live
SELECT count(*) FROM {schema}.jobs WHERE {where};

-- name: count_jobs_final
SELECT count(*) FROM {schema}.history WHERE {where};

-- name: list_logs
SELECT attempt, at, level, message FROM {schema}.logs WHERE job = :id ORDER BY id;

-- name: group_dead_letters
SELECT fingerprint, min(task), min(error_type), max(reason), count(*), max(id), min(finished_at), max(finished_at)
FROM {schema}.jobs
WHERE state = 'dead' AND (:task::text IS NULL OR task = :task::text)
GROUP BY fingerprint ORDER BY count(*) DESC, max(id) DESC;

-- name: list_queues
-- Each state by its own partial index; ready jobs, of which there may be many, by the index alone.
SELECT queue, 'ready', count(*) FROM {schema}.jobs WHERE state = 'ready' GROUP BY queue
UNION ALL
SELECT queue, CASE WHEN attempt = 0 THEN 'scheduled' ELSE 'retrying' END, count(*)
FROM {schema}.jobs WHERE state = 'scheduled' GROUP BY 1, 2
UNION ALL
SELECT queue, 'held', count(*) FROM {schema}.jobs WHERE state = 'held' GROUP BY queue
UNION ALL
SELECT queue, 'running', count(*) FROM {schema}.jobs WHERE state = 'running' GROUP BY queue
UNION ALL
SELECT queue, 'dead', count(*) FROM {schema}.jobs WHERE state = 'dead' GROUP BY queue;

-- name: list_queues_oldest
-- Only the first job of each priority of each queue is looked at, found by loose index scans.
WITH RECURSIVE line(queue, rank) AS (
    (SELECT queue, -priority FROM {schema}.jobs WHERE state = 'ready' ORDER BY queue, -priority LIMIT 1)
    UNION ALL
    SELECT next.queue, next.rank
    FROM line CROSS JOIN LATERAL (
        SELECT * FROM (
            (SELECT 1 AS place, job.queue, -job.priority AS rank FROM {schema}.jobs AS job
             WHERE state = 'ready' AND job.queue = line.queue AND -job.priority > line.rank
             ORDER BY -job.priority LIMIT 1)
            UNION ALL
            (SELECT 2, job.queue, -job.priority FROM {schema}.jobs AS job
             WHERE state = 'ready' AND job.queue > line.queue ORDER BY job.queue, -job.priority LIMIT 1)
        ) AS either ORDER BY place LIMIT 1
    ) AS next
)
SELECT queue, min((SELECT run_at FROM {schema}.jobs AS job
                   WHERE state = 'ready' AND job.queue = line.queue AND -job.priority = line.rank
                   ORDER BY id LIMIT 1))
FROM line GROUP BY queue;

-- name: list_queues_finished
SELECT queue, coalesce(sum(count) FILTER (WHERE outcome = 'completed'), 0)::bigint,
       coalesce(sum(count) FILTER (WHERE outcome IN ('failed', 'dead', 'crashed')), 0)::bigint
FROM {schema}.counters WHERE minute > {now} / 60000000 - 60 GROUP BY queue;

-- name: list_tasks
SELECT task, count(*) FILTER (WHERE state = 'ready'), count(*) FILTER (WHERE state = 'scheduled'),
       count(*) FILTER (WHERE state IN ('held', 'blocked')), count(*) FILTER (WHERE state = 'running'),
       count(*) FILTER (WHERE state = 'dead'), min(run_at) FILTER (WHERE state = 'ready')
FROM {schema}.jobs GROUP BY task ORDER BY task;

-- name: count_waiting
SELECT (SELECT count(*) FROM (SELECT FROM {schema}.jobs WHERE state = 'ready' AND queue = :queue LIMIT :most) AS ready)
     + (SELECT count(*) FROM (SELECT FROM {schema}.jobs WHERE state = 'held' AND queue = :queue LIMIT :most) AS held);

-- name: count_ready_or_running
-- Each state through its own index: together they read the whole table (141 ms at a million jobs).
SELECT (
    SELECT count(*) FROM {schema}.jobs
    WHERE state = 'ready'
      AND (:queues::json IS NULL OR queue = ANY (ARRAY(SELECT json_array_elements_text(:queues::json))))
      AND queue <> {paused_queues} AND (tags IS NULL OR {paused_tag} IS NULL)
      AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json) EXCEPT {paused_tasks}))
) + (
    SELECT count(*) FROM {schema}.jobs
    WHERE state = 'running'
      AND (:queues::json IS NULL OR queue = ANY (ARRAY(SELECT json_array_elements_text(:queues::json))))
      AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json)))
) + (EXISTS (
    SELECT FROM {schema}.jobs
    WHERE state = 'held' AND lane IS NOT NULL AND paused_by IS NULL
      AND queue <> {paused_queues} AND (tags IS NULL OR {paused_tag} IS NULL)
      AND (:queues::json IS NULL OR queue = ANY (ARRAY(SELECT json_array_elements_text(:queues::json))))
      AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json) EXCEPT {paused_tasks}))
))::integer + (
    -- Jobs that the rest of a large fan-out is about to make ready.
    SELECT count(*) FROM {schema}.workflow_ends
) + (
    SELECT count(*) FROM {schema}.workflows WHERE look_at IS NOT NULL AND starting_after IS NOT NULL
);

-- name: count_scheduled
-- Once, at the end of a worker with --until-empty.
SELECT count(*), min(run_at) FROM {schema}.jobs
WHERE state = 'scheduled'
  AND (:queues::json IS NULL OR queue = ANY (ARRAY(SELECT json_array_elements_text(:queues::json))))
  AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json)));

-- name: find_duties
-- Every worker asks this every second or two. Each part ends at its first row; the workers that own running jobs are found
-- by a loose index scan, as in rescue_jobs.
WITH RECURSIVE moment AS MATERIALIZED (SELECT {now} AS now),
owner(worker) AS (
    (SELECT worker FROM {schema}.jobs WHERE state = 'running' ORDER BY worker LIMIT 1)
    UNION ALL
    SELECT (SELECT job.worker FROM {schema}.jobs AS job
            WHERE state = 'running' AND job.worker > owner.worker ORDER BY job.worker LIMIT 1)
    FROM owner WHERE owner.worker IS NOT NULL
),
named(pause) AS (
    (SELECT paused_by FROM {schema}.jobs WHERE paused_by IS NOT NULL ORDER BY paused_by LIMIT 1)
    UNION ALL
    SELECT (SELECT paused_by FROM {schema}.jobs WHERE paused_by > named.pause ORDER BY paused_by LIMIT 1)
    FROM named WHERE named.pause IS NOT NULL
),
mine AS MATERIALIZED (
    SELECT count(*) AS owned, count(cancel_requested_at) > 0 AS cancelled
    FROM {schema}.jobs WHERE state = 'running' AND worker = :worker
)
SELECT CASE WHEN :queues::json IS NULL THEN EXISTS (SELECT FROM {schema}.jobs WHERE state = 'ready')
            ELSE EXISTS (SELECT FROM json_array_elements_text(:queues::json) AS served (queue)
                         WHERE (SELECT true FROM {schema}.jobs
                                WHERE state = 'ready' AND jobs.queue = served.queue LIMIT 1)) END,
       least((SELECT min(run_at) FROM {schema}.jobs WHERE state = 'scheduled'),
             (SELECT min(expires_at) FROM {schema}.jobs
              WHERE expires_at IS NOT NULL AND state IN ('ready', 'held', 'scheduled', 'blocked'))) - now,
       EXISTS (SELECT FROM {schema}.jobs
               WHERE state = 'held' AND lane IS NULL AND paused_by IS NULL
                 AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json))))
       OR EXISTS (SELECT FROM named WHERE pause IS NOT NULL AND NOT EXISTS (
           SELECT FROM {schema}.pauses WHERE kind || ' ' || name = named.pause)),
       owned, cancelled,
       EXISTS (SELECT FROM {schema}.workers WHERE stopped_at IS NULL AND id <> :worker
                 AND (expires_at <= now OR renewed_at - now > expires_at - renewed_at))
       OR EXISTS (SELECT FROM owner WHERE worker IS NOT NULL AND NOT EXISTS (
           SELECT FROM {schema}.workers AS live WHERE live.id = owner.worker AND stopped_at IS NULL))
       OR EXISTS (SELECT FROM {schema}.outbox WHERE NOT EXISTS (
           SELECT FROM {schema}.workers AS live WHERE live.id = outbox.worker AND stopped_at IS NULL)),
       (SELECT min(CASE WHEN waiting <> '[]' THEN least(next_tick, now + 1000000) ELSE next_tick END) - now
        FROM {schema}.schedules
        WHERE paused_at IS NULL AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json)))),
       (SELECT max(paused_at) FROM {schema}.pauses),
       CASE WHEN EXISTS (SELECT FROM {schema}.workflow_ends) THEN 0
            ELSE (SELECT min(look_at) FROM {schema}.workflows WHERE look_at IS NOT NULL) - now END,
       EXISTS (SELECT FROM {schema}.jobs WHERE state = 'held' AND lane IS NOT NULL AND paused_by IS NULL),
       (SELECT asked_to FROM {schema}.workers WHERE id = :worker)
FROM moment, mine;

-- name: find_lock
-- It reads the catalogue alone, so that it answers while a table of ours is locked whole. 10 ms beside 200 sessions,
-- 100 of them in a transaction.
WITH touching AS MATERIALIZED (
    SELECT pid, relname, granted AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                                              'AccessExclusiveLock') AS is_whole
    FROM pg_locks JOIN pg_class ON pg_class.oid = relation JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND nspname = :schema AND relkind IN ('r', 'p')
), blocking AS (
    SELECT blocker AS pid, NULL AS relname, waiting.pid AS waiting
    FROM pg_stat_activity AS waiting, unnest(pg_blocking_pids(waiting.pid)) AS blocker
    WHERE waiting.wait_event_type = 'Lock'
      AND waiting.query_start < clock_timestamp() - make_interval(secs => :patience)
      AND waiting.pid IN (SELECT pid FROM touching)
    UNION ALL
    SELECT pid, relname::text, NULL FROM touching WHERE is_whole
)
SELECT session.pid, nullif(session.application_name, ''), session.state,
       extract(epoch FROM clock_timestamp() - session.xact_start)::bigint, count(DISTINCT blocking.waiting),
       min(blocking.relname)
FROM blocking JOIN pg_stat_activity AS session ON session.pid = blocking.pid
WHERE session.pid <> pg_backend_pid() AND session.wait_event_type IS DISTINCT FROM 'Lock'
  AND (session.xact_start IS NULL OR session.xact_start < clock_timestamp() - make_interval(secs => :short))
GROUP BY session.pid, session.application_name, session.state, session.xact_start
ORDER BY session.xact_start LIMIT 1;
