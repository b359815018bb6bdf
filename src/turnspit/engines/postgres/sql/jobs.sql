-- {now} stands for the :now parameter, or the database's clock where it is NULL; {schema} for the schema's name; {ids}
-- for the list :ids. A list is passed as one JSON text (see README.md).

-- name: insert_plain_job
-- For jobs without options, which most are: four parameters instead of seventeen.
INSERT INTO {schema}.jobs (task, queue, args, priority, created_at, run_at, state)
SELECT :task::text, :queue::text, :args::text::json, :priority::integer, now, now, 'ready'
FROM (SELECT {now} AS now) AS moment
RETURNING id, state, run_at, created_at;

-- name: insert_job
WITH moment AS MATERIALIZED (SELECT {now} AS now),
times AS MATERIALIZED (
    SELECT now, greatest(coalesce(:at::bigint, now), now + :delay::bigint) AS due FROM moment
)
INSERT INTO {schema}.jobs (task, queue, args, priority, retry, timeout, tags, metadata, unique_key, lane,
                           created_at, run_at, state, expires_at)
SELECT :task::text, :queue::text, :args::text::json, :priority::integer, :retry::text, :timeout::bigint,
       :tags::text::json, :metadata::text::json, :unique_key::text, :lane::text, now, due,
       CASE WHEN due > now THEN 'scheduled' WHEN :lane::text IS NULL THEN 'ready' ELSE 'held' END,
       coalesce(:expires_at::bigint, now + :expires_in::bigint)
FROM times
RETURNING id, state, run_at, created_at;

-- name: insert_job_at_once
-- Nothing is stored if the key is there. If another transaction is about to store it, this waits for that one's end, and fails
-- if it commits: the statement is run again then, and finds the key (``is_passing``).
WITH moment AS MATERIALIZED (SELECT {now} AS now),
times AS MATERIALIZED (
    SELECT now, greatest(coalesce(:at::bigint, now), now + :delay::bigint) AS due FROM moment
    WHERE NOT EXISTS (SELECT FROM {schema}.unique_keys WHERE key = :unique_key::text)
),
stored AS (
    INSERT INTO {schema}.jobs (task, queue, args, priority, retry, timeout, tags, metadata, unique_key, lane,
                               created_at, run_at, state, expires_at)
    SELECT :task::text, :queue::text, :args::text::json, :priority::integer, :retry::text, :timeout::bigint,
           :tags::text::json, :metadata::text::json, :unique_key::text, :lane::text, now, due,
           CASE WHEN due > now THEN 'scheduled' WHEN :lane::text IS NULL THEN 'ready' ELSE 'held' END,
           coalesce(:expires_at::bigint, now + :expires_in::bigint)
    FROM times
    RETURNING id, state, run_at, created_at
),
held AS (
    INSERT INTO {schema}.unique_keys (key, job, states, until, look_at)
    SELECT :unique_key::text, id, :states::text, created_at + :within::bigint,
           created_at + greatest(:within::bigint, 3600000000)
    FROM stored
)
SELECT id, state, run_at, created_at FROM stored;

-- name: insert_jobs
-- {columns}: what is returned of the new jobs. By the ORDER BY in the INSERT's source, ids are given and returned in the
-- order of the list.
WITH moment AS MATERIALIZED (SELECT {now} AS now),
times AS MATERIALIZED (
    SELECT new.*, now, greatest(coalesce(at, now), now + delay) AS due
    FROM moment, ROWS FROM (json_to_recordset(:jobs::text::json) AS (
        task text, queue text, args text, priority integer, at bigint, delay bigint, retry text, timeout bigint,
        tags text, metadata text, unique_key text, lane text, expires_at bigint, expires_in bigint)) WITH ORDINALITY
        AS new (task, queue, args, priority, at, delay, retry, timeout, tags, metadata, unique_key, lane, expires_at,
                expires_in, place)
)
INSERT INTO {schema}.jobs (task, queue, args, priority, retry, timeout, tags, metadata, unique_key, lane,
                           created_at, run_at, state, expires_at)
SELECT task, queue, args::json, priority, retry, timeout, tags::json, metadata::json, unique_key, lane, now, due,
       CASE WHEN due > now THEN 'scheduled' WHEN lane IS NULL THEN 'ready' ELSE 'held' END,
       coalesce(expires_at, now + expires_in)
FROM times ORDER BY place
RETURNING {columns};

-- name: insert_alike_jobs
-- For jobs that differ in their arguments only: half the time of the statement above, and nearly as fast as a bare COPY.
WITH moment AS MATERIALIZED (SELECT {now} AS now),
times AS MATERIALIZED (
    SELECT now, greatest(coalesce(:at::bigint, now), now + :delay::bigint) AS due FROM moment
)
INSERT INTO {schema}.jobs (task, queue, args, priority, retry, timeout, tags, metadata, unique_key, lane,
                           created_at, run_at, state, expires_at)
SELECT :task::text, :queue::text, new.args::json, :priority::integer, :retry::text, :timeout::bigint,
       :tags::text::json, :metadata::text::json, :unique_key::text, :lane::text, now, due,
       CASE WHEN due > now THEN 'scheduled' WHEN :lane::text IS NULL THEN 'ready' ELSE 'held' END,
       coalesce(:expires_at::bigint, now + :expires_in::bigint)
FROM times, json_array_elements_text(:jobs::text::json) WITH ORDINALITY AS new (args, place) ORDER BY place
RETURNING {columns};

-- name: claim_jobs
-- SKIP LOCKED is inside a materialised CTE: a plan that ran it in a loop would claim more than the LIMIT.
-- `turns` is [{"queue": ..., "share": ...}, ...]: one probe for each of them, never `queue = any(...)` over a thousand
-- queues (401 ms measured). If a turn has a priority and an id, only jobs after that one are looked at: a single index
-- descent skips the entries of claimed jobs that an old snapshot keeps alive. The update takes an array of ids: joined with
-- `picked`, for which the planner expects millions of rows, it read the whole table (178 ms at a million jobs,
-- docs/decisions/0021). {turns} is one of the three blocks below.
WITH RECURSIVE moment AS MATERIALIZED (SELECT {now} AS now),
known AS MATERIALIZED (
    SELECT ARRAY(SELECT json_array_elements_text(:tasks::json) EXCEPT {paused_tasks}) AS tasks
),
{turns},
picked AS MATERIALIZED (
    SELECT job.id
    FROM turn CROSS JOIN known
    CROSS JOIN LATERAL (
        SELECT id FROM {schema}.jobs
        WHERE state = 'ready' AND queue = turn.queue AND task = ANY (known.tasks)
          AND (tags IS NULL OR {paused_tag} IS NULL) AND (expires_at IS NULL OR expires_at > {now})
        {bound}
        ORDER BY -priority, id LIMIT turn.share FOR UPDATE SKIP LOCKED
    ) AS job
    WHERE EXISTS (SELECT FROM {schema}.workers WHERE id = :worker AND stopped_at IS NULL)
)
UPDATE {schema}.jobs AS job
SET state = 'running', worker = :worker, fence = fence + 1, attempt = attempt + 1, started_at = moment.now
FROM moment
WHERE job.id = ANY (ARRAY(SELECT id FROM picked))
RETURNING job.id, fence, task, queue, args::text, attempt, crashes, priority, created_at, run_at, started_at,
          retry, timeout, tags::text, metadata::text, lane, unique_key, workflow, cursor;

-- name: claim_jobs_turns
turn AS MATERIALIZED (
    SELECT * FROM json_to_recordset(:turns::json) AS turn (queue text, share bigint, priority integer, after bigint)
    WHERE queue <> {paused_queues}
)

-- name: claim_jobs_at_once_busy
-- A loose index scan: one probe for each queue that has work, however many jobs wait in it. It begins after the queue that
-- was served last, goes on from the first queue, and stops when there are enough.
busy(queue) AS (
    (SELECT queue FROM {schema}.jobs WHERE state = 'ready' AND queue > :after::text ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT job.queue FROM {schema}.jobs AS job
            WHERE state = 'ready' AND job.queue > busy.queue ORDER BY job.queue LIMIT 1)
    FROM busy WHERE busy.queue IS NOT NULL
), again(queue) AS (
    (SELECT queue FROM {schema}.jobs WHERE state = 'ready' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT job.queue FROM {schema}.jobs AS job
            WHERE state = 'ready' AND job.queue > again.queue ORDER BY job.queue LIMIT 1)
    FROM again WHERE again.queue < :after::text
), line(queue, is_again) AS (
    (SELECT queue, false FROM busy WHERE queue IS NOT NULL AND queue <> {paused_queues} LIMIT :most)
    UNION ALL
    (SELECT queue, true FROM again WHERE queue <= :after::text AND queue <> {paused_queues} LIMIT :most)
    LIMIT :most
), line_in_order(queue, place) AS (
    SELECT queue, row_number() OVER (ORDER BY is_again, queue) FROM line
)

-- name: claim_jobs_at_once_served
-- `queues` are in the order in which they are served. With EXISTS it was planned as a join with all ready jobs (0070).
line(queue, place) AS (
    SELECT queue, place FROM json_array_elements_text(:queues::json) WITH ORDINALITY AS served (queue, place)
    WHERE (SELECT true FROM {schema}.jobs WHERE state = 'ready' AND jobs.queue = served.queue LIMIT 1)
      AND queue <> {paused_queues}
    LIMIT :most
), line_in_order(queue, place) AS (
    SELECT queue, row_number() OVER (ORDER BY place) FROM line
)

-- name: claim_jobs_at_once_turns
-- Shares the limit out among the queues.
turn AS MATERIALIZED (
    SELECT queue, least(share, :limit - share * (place - 1)) AS share
    FROM (
        SELECT queue, place, ceil(:limit::numeric / count(*) OVER ())::bigint AS share FROM line_in_order
    ) AS line_with_shares
    WHERE share * (place - 1) < :limit
)

-- name: claim_jobs_chosen
UPDATE {schema}.jobs
SET state = 'running', worker = :worker, fence = fence + 1, attempt = attempt + 1, started_at = {now}, is_listed = 0
WHERE id = :job AND (state = 'ready' OR (state = 'held' AND lane IS NOT NULL AND paused_by IS NULL))
  AND queue <> {paused_queues} AND (tags IS NULL OR {paused_tag} IS NULL)
  AND (expires_at IS NULL OR expires_at > {now})
  AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json) EXCEPT {paused_tasks}))
  AND EXISTS (SELECT FROM {schema}.workers WHERE id = :worker AND stopped_at IS NULL)
RETURNING id, fence, task, queue, args::text, attempt, crashes, priority, created_at, run_at, started_at,
          retry, timeout, tags::text, metadata::text, lane, unique_key, workflow, cursor;

-- name: claim_jobs_queues
WITH RECURSIVE {busy} SELECT queue FROM line;

-- name: claim_jobs_queues_served
WITH {busy} SELECT queue FROM line;

-- name: claim_jobs_unknown
-- Holds jobs that no live worker can run, or whose task or tag is paused. A worker counts as live until it is declared dead;
-- it can only come back by registering, which admits the jobs of its tasks.
SELECT job.id
FROM json_to_recordset(:turns::json) AS turn (queue text)
CROSS JOIN LATERAL (
    SELECT id FROM {schema}.jobs
    WHERE state = 'ready' AND queue = turn.queue
      AND (task <> ALL (ARRAY(SELECT json_array_elements_text(:tasks::json) EXCEPT {paused_tasks}))
           AND task <> ALL (ARRAY(SELECT json_array_elements_text(tasks) FROM {schema}.workers WHERE stopped_at IS NULL
                                  EXCEPT {paused_tasks}))
           OR tags IS NOT NULL AND {paused_tag} IS NOT NULL)
    ORDER BY -priority, id LIMIT :limit
) AS job
LIMIT :limit;

-- name: claim_jobs_hold
-- Checks again which workers are live: its snapshot is newer than the lock that keeps workers from registering meanwhile.
WITH found AS MATERIALIZED (
    SELECT id, CASE WHEN task = ANY (ARRAY({paused_tasks})) THEN 'task ' || task ELSE {paused_tag} END AS pause
    FROM {schema}.jobs WHERE id = {ids}
)
UPDATE {schema}.jobs AS job
SET state = 'held', paused_by = pause, reason = coalesce('paused: ' || pause, 'no live worker knows task ' || task)
FROM found
WHERE job.id = found.id AND state = 'ready'
  AND (pause IS NOT NULL
       OR task <> ALL (ARRAY(SELECT json_array_elements_text(tasks) FROM {schema}.workers WHERE stopped_at IS NULL)))
RETURNING job.id;

-- name: lock_registration
-- Workers register one at a time, and never while a claim decides that no live worker knows a task.
SELECT pg_advisory_xact_lock(hashtext('{schema}'), 2);

-- name: lock_registration_shared
SELECT pg_advisory_xact_lock_shared(hashtext('{schema}'), 2);

-- name: finish_jobs
-- One statement for a batch: each job is looked up by primary key, moved to history, and counted. The fences are one object
-- that is searched by id, and results are passed only if there are any: a join with a list of records of both took a fifth
-- longer (docs/decisions/0053). The empty text appended to `state` keeps the planner from using the index of running jobs,
-- which is full of dead entries. {which} and {results} are blocks below, or {which} is empty.
WITH moment AS MATERIALIZED (SELECT {now} AS now),
done AS (
    DELETE FROM {schema}.jobs AS job
    WHERE job.id = {ids} AND job.fence = (:fences::jsonb ->> job.id::text)::bigint AND job.state || '' = 'running'
    {which}
    RETURNING job.*
), kept AS (
    INSERT INTO {schema}.history (
        id, task, queue, state, args, priority, attempt, crashes, fence, created_at, run_at, started_at, finished_at,
        worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data,
        cancel_requested_at, result, result_until, reason)
    SELECT done.id, task, queue, 'completed', args, priority, attempt, crashes, fence, created_at, run_at, started_at,
           now, worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message,
           progress_data, cancel_requested_at, {results}
), counted AS (
    INSERT INTO {schema}.counters AS counter (minute, queue, task, outcome, writer, count, run_time)
    SELECT min(now) / 60000000, queue, task, 'completed', pg_backend_pid(), count(*), sum(now - started_at)
    FROM done, moment GROUP BY queue, task
    ON CONFLICT (minute, queue, task, outcome, writer)
    DO UPDATE SET count = counter.count + excluded.count, run_time = counter.run_time + excluded.run_time
)
SELECT id, lane, workflow FROM done;

-- name: finish_jobs_of_nothing
-- Of tasks that returned None.
'null', NULL, NULL FROM done, moment

-- name: finish_jobs_of_some
-- `results` are those of tasks that returned something else.
CASE WHEN given.id IS NULL THEN 'null' ELSE given.result END, now + given.keep, given.note
FROM moment, done LEFT JOIN json_to_recordset(:results::json)
    AS given (id bigint, result text, keep bigint, note text) ON given.id = done.id

-- name: finish_jobs_at_once
AND job.lane IS NULL AND job.workflow IS NULL

-- name: finish_jobs_done_before
SELECT id, fence FROM {schema}.history WHERE id = {ids} AND state = 'completed';

-- name: finish_jobs_ended_before
-- How this attempt ended if it is stored, and whether that cancelled its job.
SELECT outcome, EXISTS (SELECT 1 FROM {schema}.history WHERE id = :id AND fence = :fence AND state = 'cancelled')
FROM {schema}.attempts WHERE job = :id AND fence = :fence;

-- name: finish_jobs_find
SELECT queue, task, cancel_requested_at, reason, coalesce(invalid_since, {now}), {now}, {now} - started_at, lane, workflow
FROM {schema}.jobs
WHERE id = :id AND fence = :fence AND state = 'running' FOR UPDATE;

-- name: finish_jobs_attempt
INSERT INTO {schema}.attempts (
    job, fence, attempt, outcome, started_at, finished_at, worker, error_type, error_message, traceback)
SELECT id, fence, attempt, :outcome, started_at, {now}, worker, :error_type, :error_message, :traceback
FROM {schema}.jobs WHERE id = :id
ON CONFLICT (job, fence) DO UPDATE
SET outcome = excluded.outcome, finished_at = excluded.finished_at, error_type = excluded.error_type,
    error_message = excluded.error_message, traceback = excluded.traceback;

-- name: finish_jobs_find_all
-- Locked in the order of ids, as everywhere. Not jobs that have a limit or are to be cancelled: those are ended one by one.
SELECT id, fence, queue, task, {now} - started_at, workflow
FROM {schema}.jobs
WHERE id = {ids} AND state || '' = 'running' AND lane IS NULL AND cancel_requested_at IS NULL ORDER BY id FOR UPDATE;

-- name: finish_jobs_attempts
-- `errors` is [[job, type, message, traceback, fingerprint, delay], ...], of jobs that finish_jobs_find_all locked.
INSERT INTO {schema}.attempts (
    job, fence, attempt, outcome, started_at, finished_at, worker, error_type, error_message, traceback)
SELECT job.id, job.fence, job.attempt, :outcome, job.started_at, {now}, job.worker, error->>1, error->>2, error->>3
FROM json_array_elements(:errors::json) AS error
CROSS JOIN LATERAL (SELECT * FROM {schema}.jobs WHERE id = (error->>0)::bigint LIMIT 1) AS job
ON CONFLICT (job, fence) DO UPDATE
SET outcome = excluded.outcome, finished_at = excluded.finished_at, error_type = excluded.error_type,
    error_message = excluded.error_message, traceback = excluded.traceback;

-- name: finish_jobs_reschedule_all
UPDATE {schema}.jobs
SET state = CASE WHEN (error->>5)::bigint > 0 THEN 'scheduled' ELSE 'ready' END, run_at = {now} + (error->>5)::bigint,
    attempt = attempt - :give_back, worker = NULL, expires_at = NULL,
    error_type = error->>1, reason = error->>2, fingerprint = error->>4, invalid_since = NULL
FROM json_array_elements(:errors::json) AS error
WHERE id = (error->>0)::bigint;

-- name: finish_jobs_dead_all
UPDATE {schema}.jobs
SET state = 'dead', finished_at = {now}, error_type = error->>1, reason = error->>2, fingerprint = error->>4
FROM json_array_elements(:errors::json) AS error
WHERE id = (error->>0)::bigint;

-- name: finish_jobs_reschedule
UPDATE {schema}.jobs
SET state = CASE WHEN :delay::bigint > 0 THEN 'scheduled' WHEN lane IS NULL THEN 'ready' ELSE 'held' END, run_at = {now} + :delay::bigint,
    attempt = attempt - :give_back, worker = NULL, expires_at = NULL,
    error_type = :error_type, reason = :error_message, fingerprint = :fingerprint, invalid_since = :invalid_since
WHERE id = :id;

-- name: finish_jobs_dead
UPDATE {schema}.jobs
SET state = 'dead', finished_at = {now},
    error_type = :error_type, reason = :error_message, fingerprint = :fingerprint
WHERE id = :id;

-- name: move_cancelled
INSERT INTO {schema}.history (
    id, task, queue, state, args, priority, attempt, crashes, fence, created_at, run_at, started_at, finished_at,
    worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data, cancel_requested_at, reason, error_type,
    fingerprint)
SELECT id, task, queue, 'cancelled', args, priority, attempt, crashes, fence, created_at, run_at, started_at, {now},
       worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data, cancel_requested_at,
       coalesce(:reason::text, reason), error_type, fingerprint
FROM {schema}.jobs WHERE id = {ids}
RETURNING id, workflow;

-- name: move_cancelled_remove
DELETE FROM {schema}.jobs WHERE id = {ids};

-- name: count_outcomes
-- `counts` is [[queue, task, count, run time], ...]. A row for each connection that writes: one hot row halved the commit
-- rate (2.2k to 1.2k a second).
INSERT INTO {schema}.counters AS counter (minute, queue, task, outcome, writer, count, run_time)
SELECT {now} / 60000000, value->>0, value->>1, :outcome, pg_backend_pid(), (value->>2)::bigint, (value->>3)::bigint
FROM json_array_elements(:counts::json) AS value
ON CONFLICT (minute, queue, task, outcome, writer)
DO UPDATE SET count = counter.count + excluded.count, run_time = counter.run_time + excluded.run_time;

-- name: finish_job
-- In the caller's transaction: only the job's own row is locked.
INSERT INTO {schema}.history (
    id, task, queue, state, args, priority, attempt, crashes, fence, created_at, run_at, started_at, finished_at,
    worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data, cancel_requested_at, reason, result,
    result_until)
SELECT id, task, queue, 'completed', args, priority, attempt, crashes, fence, created_at, run_at, started_at, {now},
       worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data, cancel_requested_at, :note::text, :result::text,
       {now} + :keep::bigint
FROM {schema}.jobs WHERE id = :id AND fence = :fence AND state || '' = 'running' FOR UPDATE
RETURNING id;

-- name: finish_job_outbox
INSERT INTO {schema}.outbox (job, fence, queue, task, worker, run_time, workflow)
SELECT id, fence, queue, task, worker, {now} - started_at, workflow FROM {schema}.jobs WHERE id = :id;

-- name: finish_job_remove
DELETE FROM {schema}.jobs WHERE id = :id;

-- name: finish_jobs_outbox
-- The fence matters: a job that was replayed may have a row of an earlier claim, whose worker died after its commit.
DELETE FROM {schema}.outbox WHERE job = :id AND fence = :fence RETURNING job, queue, task, run_time, workflow;

-- name: finish_jobs_is_free
-- Whether no open transaction has the job locked; no row if the job is gone.
WITH free AS MATERIALIZED (SELECT id FROM {schema}.jobs WHERE id = :id FOR UPDATE SKIP LOCKED)
SELECT id IN (SELECT id FROM free) FROM {schema}.jobs WHERE id = :id;

-- name: return_jobs
-- `claims` is [[id, fence], ...].
UPDATE {schema}.jobs AS job
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, worker = NULL, attempt = attempt - 1, started_at = NULL,
    expires_at = CASE WHEN job.id <> ALL (ARRAY(SELECT json_array_elements_text(:begun::json)::bigint)) THEN expires_at END
FROM (SELECT (value->>0)::bigint AS id, (value->>1)::bigint AS fence FROM json_array_elements(:claims::json) AS value)
    AS claim
WHERE job.id = claim.id AND job.fence = claim.fence AND job.state || '' = 'running'
RETURNING job.id, cancel_requested_at, lane;

-- name: promote_jobs
WITH due AS MATERIALIZED ({which})
UPDATE {schema}.jobs SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END WHERE id = ANY (ARRAY(SELECT id FROM due))
RETURNING id;

-- name: promote_jobs_due
SELECT id FROM {schema}.jobs
WHERE state = 'scheduled' AND run_at <= {now} ORDER BY run_at LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: promote_jobs_late
SELECT id FROM {schema}.jobs
WHERE expires_at IS NOT NULL AND state IN ('ready', 'held', 'scheduled', 'blocked') AND expires_at <= {now}
ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: promote_jobs_chosen
SELECT json_array_elements_text(:ids::json)::bigint AS id;

-- name: promote_jobs_next
SELECT (SELECT min(run_at) FROM {schema}.jobs WHERE state = 'scheduled') - {now},
       (SELECT min(expires_at) FROM {schema}.jobs
        WHERE expires_at IS NOT NULL AND state IN ('ready', 'held', 'scheduled', 'blocked')) - {now};

-- name: promote_jobs_expired
WITH late AS MATERIALIZED ({which})
UPDATE {schema}.jobs
SET reason = 'expired: it did not start by '
             || to_char(to_timestamp(expires_at / 1000000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
WHERE id = ANY (ARRAY(SELECT id FROM late))
RETURNING id;

-- name: record_progress
-- SKIP LOCKED: by finish(), a task may have locked its job in a transaction that is not committed yet.
WITH new AS MATERIALIZED (
    SELECT * FROM json_to_recordset(:updates::json) AS new (
        id bigint, fence bigint, progress double precision, message text, data text, cursor text)
),
found AS MATERIALIZED (
    SELECT id, fence FROM {schema}.jobs WHERE id = {ids} AND state || '' = 'running' FOR UPDATE SKIP LOCKED
)
UPDATE {schema}.jobs
SET progress = coalesce(new.progress, jobs.progress), progress_message = coalesce(new.message, jobs.progress_message),
    progress_data = coalesce(new.data, jobs.progress_data), cursor = coalesce(new.cursor, jobs.cursor)
FROM new JOIN found USING (id, fence)
WHERE jobs.id = {ids} AND jobs.id = new.id
RETURNING jobs.id, jobs.fence;

-- name: record_progress_locked
-- Which claims are current, of those for which record_progress updated nothing: an open transaction has their jobs locked.
SELECT id, fence FROM {schema}.jobs WHERE id = {ids} AND state || '' = 'running';

-- name: record_progress_log
-- At most 1,000 lines a job are kept; the last one says that there were more.
WITH new AS MATERIALIZED (
    SELECT * FROM ROWS FROM (json_to_recordset(:lines::json) AS (
        job bigint, attempt integer, at bigint, level text, message text)) WITH ORDINALITY
        AS new (job, attempt, at, level, message, place)
),
kept AS MATERIALIZED (
    SELECT job, (SELECT count(*) FROM (SELECT FROM {schema}.logs WHERE logs.job = each.job LIMIT 1000) AS line) AS count
    FROM (SELECT DISTINCT job FROM new) AS each
),
numbered AS (
    SELECT new.*, kept.count + row_number() OVER (PARTITION BY job ORDER BY place) AS number FROM new JOIN kept USING (job)
)
INSERT INTO {schema}.logs (job, attempt, at, level, message)
SELECT job, attempt, coalesce(at, {now}), CASE WHEN number = 1000 THEN 'warning' ELSE level END,
       CASE WHEN number = 1000 THEN 'more than 1,000 lines: the rest is not kept' ELSE message END
FROM numbered WHERE number <= 1000 ORDER BY place;

-- name: prune_jobs_lock
-- One pruner at a time; others try again later.
SELECT pg_try_advisory_xact_lock(hashtext('{schema}'), 3);

-- name: prune_jobs_partitions
-- Makes the partitions of coming days, and drops those of days that are over once the rows that belong to their jobs are
-- gone. Both wait at most 100 ms for a lock, and are tried again next time (see the functions).
SELECT {schema}.make_partitions({now}), {schema}.drop_partition({now} - :history::bigint, :limit);

-- name: prune_jobs_old
-- Here and below: not what somebody is replaying at this moment.
SELECT id FROM {schema}.history WHERE finished_at <= {now} - :history::bigint ORDER BY finished_at LIMIT :limit
FOR UPDATE SKIP LOCKED;

-- name: prune_jobs_dead
SELECT id, state, workflow FROM {schema}.jobs
WHERE state = 'dead' AND finished_at <= {now} - :dead::bigint ORDER BY finished_at LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: prune_jobs_results
UPDATE {schema}.history SET result = NULL, result_until = NULL, reason = 'its result was kept for a limited time'
WHERE id = ANY (ARRAY(
    SELECT id FROM {schema}.history WHERE result_until <= {now} ORDER BY result_until LIMIT :limit))
RETURNING id;

-- name: prune_jobs_counters
DELETE FROM {schema}.counters WHERE minute < {now} / 60000000 - 60 * 24 * 30;

-- name: prune_jobs_roll_up
-- Merges the rows of all writers, for minutes that are over.
WITH over AS (
    DELETE FROM {schema}.counters WHERE writer <> 0 AND minute < {now} / 60000000 - 1
    RETURNING minute, queue, task, outcome, count, run_time
)
INSERT INTO {schema}.counters AS counter (minute, queue, task, outcome, writer, count, run_time)
SELECT minute, queue, task, outcome, 0, sum(count), sum(run_time) FROM over GROUP BY minute, queue, task, outcome
ON CONFLICT (minute, queue, task, outcome, writer)
DO UPDATE SET count = counter.count + excluded.count, run_time = counter.run_time + excluded.run_time;

-- name: prune_jobs_workers
DELETE FROM {schema}.workers WHERE stopped_at <= {now} - :history::bigint;

-- name: remove_history
DELETE FROM {schema}.history WHERE id = {ids};

-- name: remove_jobs
DELETE FROM {schema}.jobs WHERE id = {ids};

-- name: remove_attempts
DELETE FROM {schema}.attempts WHERE job = {ids};

-- name: remove_logs
DELETE FROM {schema}.logs WHERE job = {ids};
