-- {now} stands for the :now parameter, or the database's clock where it is NULL (see engines/sqlite/README.md).

-- name: insert_plain_job
-- For jobs without options, which most are: takes a third less time than the statement below. `now` is the same throughout
-- a statement.
INSERT INTO turnspit_jobs (task, queue, args, priority, created_at, run_at, state)
VALUES (:task, :queue, :args, :priority, {now}, {now}, 'ready')
RETURNING id, state, run_at, created_at;

-- name: insert_job
INSERT INTO turnspit_jobs (task, queue, args, priority, retry, timeout, tags, metadata, unique_key, lane,
                           expires_at, created_at, run_at, state)
SELECT :task, :queue, :args, :priority, :retry, :timeout, :tags, :metadata, :unique_key, :lane,
       coalesce(:expires_at, moment + :expires_in), moment,
       max(coalesce(:at, moment), moment + :delay),
       CASE WHEN max(coalesce(:at, moment), moment + :delay) > moment THEN 'scheduled'
            WHEN :lane IS NULL THEN 'ready' ELSE 'held' END
FROM (SELECT {now} AS moment)
RETURNING id, state, run_at, created_at;

-- name: insert_jobs
-- executemany over plain tuples: twice as fast as one statement that takes each field out of JSON.
INSERT INTO turnspit_jobs (task, queue, args, priority, retry, timeout, tags, metadata, unique_key, lane,
                           expires_at, created_at, run_at, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_alike_jobs
-- For jobs that differ in their arguments only: a fifth of the time of executemany, and without holding the GIL.
INSERT INTO turnspit_jobs (task, queue, args, priority, retry, timeout, tags, metadata, unique_key, lane,
                           expires_at, created_at, run_at, state)
SELECT :task, :queue, new.value, :priority, :retry, :timeout, :tags, :metadata, :unique_key, :lane,
       coalesce(:expires_at, moment + :expires_in), moment, due,
       CASE WHEN due > moment THEN 'scheduled' WHEN :lane IS NULL THEN 'ready' ELSE 'held' END
FROM (SELECT moment, max(coalesce(:at, moment), moment + :delay) AS due FROM (SELECT {now} AS moment))
CROSS JOIN json_each(:jobs) AS new;

-- name: insert_jobs_begin
SELECT {now}, max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'turnspit_jobs'),
                  (SELECT coalesce(max(id), 0) FROM turnspit_jobs));

-- name: insert_jobs_last_id
-- Nobody else can write meanwhile, so the ids of one batch are consecutive. Not `last_insert_rowid()`, which is that of an
-- earlier row where a trigger of somebody else leaves out the whole batch.
SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'turnspit_jobs';

-- name: claim_jobs
-- Three statements that each return a single value: with many rows, the GIL is released and taken again for each of them,
-- while the worker's event loop competes for it (docs/decisions/0054). `turns` is [{"queue": ...}, ...]; {line} is one of the
-- two blocks below, limited to the share of a queue. Jobs of tasks that only other workers know are left as they are: the
-- commit of a claim that wrote to them woke all workers, which claimed in turn (21 commits a second and 6 % of a core, idle).
SELECT json_group_array(value) FROM (
    SELECT found.value FROM json_each(:turns) AS turn
    CROSS JOIN json_each((SELECT json_group_array(id) FROM ({line}))) AS found
    WHERE EXISTS (SELECT 1 FROM turnspit_workers WHERE id = :worker AND stopped_at IS NULL)
    LIMIT :limit
);

-- name: claim_jobs_line
-- Walks the index turnspit_jobs_ready in its own order.
SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_ready
WHERE state = 'ready' AND queue = turn.value ->> 'queue'
  AND queue NOT IN {paused_queues} AND task IN (SELECT value FROM json_each(:tasks)) AND task NOT IN {paused_tasks}
  AND (tags IS NULL OR {paused_tag} IS NULL) AND (expires_at IS NULL OR expires_at > {now})
ORDER BY priority DESC, id LIMIT :share

-- name: claim_jobs_behind
-- The same, but only after a given job: first jobs of its priority, then those of lower ones.
SELECT * FROM (
    SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_ready
    WHERE state = 'ready' AND queue = turn.value ->> 'queue'
      AND queue NOT IN {paused_queues} AND task IN (SELECT value FROM json_each(:tasks)) AND task NOT IN {paused_tasks}
      AND (tags IS NULL OR {paused_tag} IS NULL) AND (expires_at IS NULL OR expires_at > {now})
      AND priority = turn.value ->> 'priority' AND id > turn.value ->> 'after'
    ORDER BY id LIMIT :share)
UNION ALL
SELECT * FROM (
    SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_ready
    WHERE state = 'ready' AND queue = turn.value ->> 'queue'
      AND queue NOT IN {paused_queues} AND task IN (SELECT value FROM json_each(:tasks)) AND task NOT IN {paused_tasks}
      AND (tags IS NULL OR {paused_tag} IS NULL) AND (expires_at IS NULL OR expires_at > {now})
      AND priority < turn.value ->> 'priority'
    ORDER BY priority DESC, id LIMIT :share)
LIMIT :share

-- name: claim_jobs_take
UPDATE turnspit_jobs
SET state = 'running', worker = :worker, fence = fence + 1, attempt = attempt + 1, started_at = {now}
WHERE id IN (SELECT value FROM json_each(:ids));

-- name: claim_jobs_taken
-- Those that were taken: while the store moves, a trigger leaves them as they are. A foreign writer may have stored bytes,
-- which json_array refuses.
SELECT json_group_array(json_array(
    job.id, fence, task, queue, CAST(args AS TEXT), attempt, crashes, priority, created_at, run_at, started_at,
    retry, timeout, CAST(tags AS TEXT), CAST(metadata AS TEXT), lane, unique_key, workflow, cursor))
FROM json_each(:ids) AS taken CROSS JOIN turnspit_jobs AS job ON job.id = taken.value
WHERE +job.state = 'running';

-- name: claim_jobs_chosen
UPDATE turnspit_jobs
SET state = 'running', worker = :worker, fence = fence + 1, attempt = attempt + 1, started_at = {now}, is_listed = 0
WHERE id = :job AND (state = 'ready' OR (state = 'held' AND lane IS NOT NULL AND paused_by IS NULL))
  AND task IN (SELECT value FROM json_each(:tasks)) AND task NOT IN {paused_tasks} AND queue NOT IN {paused_queues}
  AND (tags IS NULL OR {paused_tag} IS NULL) AND (expires_at IS NULL OR expires_at > {now})
  AND EXISTS (SELECT 1 FROM turnspit_workers WHERE id = :worker AND stopped_at IS NULL)
RETURNING id, fence, task, queue, args, attempt, crashes, priority, created_at, run_at, started_at,
          retry, timeout, tags, metadata, lane, unique_key, workflow, cursor;

-- name: claim_jobs_queues
-- A loose index scan: one probe for each queue that has work, however many jobs wait in it, until there are enough.
WITH RECURSIVE busy(queue) AS (
    SELECT min(queue) FROM turnspit_jobs WHERE state = 'ready' AND queue > :after
    UNION ALL
    SELECT (SELECT min(queue) FROM turnspit_jobs WHERE state = 'ready' AND queue > busy.queue)
    FROM busy WHERE busy.queue IS NOT NULL
)
SELECT queue FROM busy WHERE queue IS NOT NULL AND queue NOT IN {paused_queues} LIMIT :most;

-- name: claim_jobs_queues_served
SELECT value FROM json_each(:queues)
WHERE EXISTS (SELECT 1 FROM turnspit_jobs INDEXED BY turnspit_jobs_ready WHERE state = 'ready' AND queue = value)
  AND value NOT IN {paused_queues}
LIMIT :most;

-- name: claim_jobs_hold
-- Holds jobs that no live worker can run, or whose task or tag is paused. A worker counts as live until it is declared dead;
-- it can only come back by registering, which admits the jobs of its tasks.
UPDATE turnspit_jobs SET state = 'held', paused_by = pause, reason = coalesce('paused: ' || pause, 'no live worker knows task ' || task)
FROM (
    SELECT job.id AS found, CASE WHEN task IN {paused_tasks} THEN 'task ' || task ELSE {paused_tag} END AS pause
    FROM json_each(:queues) AS served
    CROSS JOIN turnspit_jobs AS job INDEXED BY turnspit_jobs_ready
    WHERE state = 'ready' AND queue = served.value
      AND (task IN {paused_tasks}
           OR tags IS NOT NULL AND {paused_tag} IS NOT NULL
           OR task NOT IN (SELECT value FROM json_each(:tasks))
           AND task NOT IN (SELECT value FROM turnspit_workers, json_each(tasks) WHERE stopped_at IS NULL))
    LIMIT :limit
)
WHERE id = found
RETURNING id;

-- name: finish_jobs
-- The running claims among these finishes, found by primary key and fence, in one row for each queue and task. `fences` is {"<id>": fence}.
-- CROSS JOIN keeps json_each outside: one lookup by primary key for each finish.
SELECT moment, queue, task, count(*), sum(moment - started_at), json_group_array(job.id),
       json_group_array(json_array(job.id, lane, workflow)) FILTER (WHERE lane IS NOT NULL OR workflow IS NOT NULL)
FROM (SELECT {now} AS moment)
CROSS JOIN json_each(:fences) AS finish
CROSS JOIN turnspit_jobs AS job NOT INDEXED ON job.id = CAST(finish.key AS INTEGER)
WHERE job.fence = finish.value AND job.state = 'running'
GROUP BY queue, task;

-- name: finish_jobs_of_nothing
-- Of tasks that returned None.
INSERT INTO turnspit_history (
    id, task, queue, state, args, priority, attempt, crashes, fence, created_at, run_at, started_at, finished_at,
    worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data,
    cancel_requested_at, reason, result, result_until)
SELECT job.id, task, queue, 'completed', args, priority, attempt, crashes, fence, created_at, run_at, started_at, :now,
       worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data,
       cancel_requested_at, NULL, 'null', NULL
FROM json_each(:fences) AS finish
CROSS JOIN turnspit_jobs AS job NOT INDEXED ON job.id = CAST(finish.key AS INTEGER)
WHERE job.fence = finish.value AND job.state = 'running';

-- name: finish_jobs_of_some
-- `finishes` is [[id, fence, result, keep, note], ...].
INSERT INTO turnspit_history (
    id, task, queue, state, args, priority, attempt, crashes, fence, created_at, run_at, started_at, finished_at,
    worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data,
    cancel_requested_at, reason, result, result_until)
SELECT job.id, task, queue, 'completed', args, priority, attempt, crashes, fence, created_at, run_at, started_at, :now,
       worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data,
       cancel_requested_at, json_extract(finish.value, '$[4]'),
       json_extract(finish.value, '$[2]'), :now + json_extract(finish.value, '$[3]')
FROM json_each(:finishes) AS finish
CROSS JOIN turnspit_jobs AS job NOT INDEXED ON job.id = json_extract(finish.value, '$[0]')
WHERE job.fence = json_extract(finish.value, '$[1]') AND job.state = 'running';

-- name: finish_jobs_remove
DELETE FROM turnspit_jobs
WHERE id IN (SELECT job.id FROM json_each(:fences) AS finish
             CROSS JOIN turnspit_jobs AS job NOT INDEXED ON job.id = CAST(finish.key AS INTEGER)
             WHERE job.fence = finish.value AND job.state = 'running');

-- name: finish_jobs_done_before
SELECT id, fence FROM turnspit_history WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'completed';

-- name: finish_jobs_ended_before
-- How this attempt ended if it is stored, and whether that cancelled its job.
SELECT outcome, EXISTS (SELECT 1 FROM turnspit_history WHERE id = :id AND fence = :fence AND state = 'cancelled')
FROM turnspit_attempts WHERE job = :id AND fence = :fence;

-- name: finish_jobs_find
SELECT queue, task, cancel_requested_at, reason, coalesce(invalid_since, {now}), {now}, {now} - started_at, lane, workflow
FROM turnspit_jobs
WHERE id = :id AND fence = :fence AND state = 'running';

-- name: finish_jobs_attempt
INSERT OR REPLACE INTO turnspit_attempts (
    job, fence, attempt, outcome, started_at, finished_at, worker, error_type, error_message, traceback)
SELECT id, fence, attempt, :outcome, started_at, {now}, worker, :error_type, :error_message, :traceback
FROM turnspit_jobs WHERE id = :id;

-- name: finish_jobs_find_all
-- Not jobs that have a limit or are to be cancelled: those are ended one by one.
SELECT id, fence, queue, task, {now} - started_at, workflow
FROM turnspit_jobs
WHERE id IN (SELECT value FROM json_each(:ids)) AND +state = 'running' AND lane IS NULL AND cancel_requested_at IS NULL;

-- name: finish_jobs_attempts
-- `errors` is [[job, type, message, traceback, fingerprint, delay], ...], of jobs that finish_jobs_find_all found.
INSERT OR REPLACE INTO turnspit_attempts (
    job, fence, attempt, outcome, started_at, finished_at, worker, error_type, error_message, traceback)
SELECT job.id, job.fence, job.attempt, :outcome, job.started_at, {now}, job.worker,
       error.value->>1, error.value->>2, error.value->>3
FROM json_each(:errors) AS error CROSS JOIN turnspit_jobs AS job ON job.id = error.value->>0;

-- name: finish_jobs_reschedule_all
UPDATE turnspit_jobs
SET state = CASE WHEN error.value->>5 > 0 THEN 'scheduled' ELSE 'ready' END, run_at = {now} + (error.value->>5),
    attempt = attempt - :give_back, worker = NULL, expires_at = NULL,
    error_type = error.value->>1, reason = error.value->>2, fingerprint = error.value->>4, invalid_since = NULL
FROM json_each(:errors) AS error
WHERE turnspit_jobs.id = error.value->>0;

-- name: finish_jobs_dead_all
UPDATE turnspit_jobs
SET state = 'dead', finished_at = {now},
    error_type = error.value->>1, reason = error.value->>2, fingerprint = error.value->>4
FROM json_each(:errors) AS error
WHERE turnspit_jobs.id = error.value->>0;

-- name: finish_jobs_reschedule
UPDATE turnspit_jobs
SET state = CASE WHEN :delay > 0 THEN 'scheduled' WHEN lane IS NULL THEN 'ready' ELSE 'held' END, run_at = {now} + :delay,
    attempt = attempt - :give_back, worker = NULL, expires_at = NULL,
    error_type = :error_type, reason = :error_message, fingerprint = :fingerprint, invalid_since = :invalid_since
WHERE id = :id;

-- name: finish_jobs_dead
UPDATE turnspit_jobs
SET state = 'dead', finished_at = {now},
    error_type = :error_type, reason = :error_message, fingerprint = :fingerprint
WHERE id = :id;

-- name: move_cancelled
INSERT INTO turnspit_history (
    id, task, queue, state, args, priority, attempt, crashes, fence, created_at, run_at, started_at, finished_at,
    worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data, cancel_requested_at, reason, error_type,
    fingerprint)
SELECT id, task, queue, 'cancelled', args, priority, attempt, crashes, fence, created_at, run_at, started_at, {now},
       worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data, cancel_requested_at,
       coalesce(:reason, reason), error_type, fingerprint
FROM turnspit_jobs WHERE id IN (SELECT value FROM json_each(:ids))
RETURNING id, workflow;

-- name: move_cancelled_remove
DELETE FROM turnspit_jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: count_outcomes
-- `counts` is [[queue, task, count, run time], ...].
INSERT INTO turnspit_counters (minute, queue, task, outcome, count, run_time)
SELECT {now} / 60000000, value ->> 0, value ->> 1, :outcome, value ->> 2, value ->> 3
FROM json_each(:counts) WHERE true
ON CONFLICT (minute, queue, task, outcome)
DO UPDATE SET count = count + excluded.count, run_time = run_time + excluded.run_time;

-- name: finish_job
INSERT INTO turnspit_history (
    id, task, queue, state, args, priority, attempt, crashes, fence, created_at, run_at, started_at, finished_at,
    worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data, cancel_requested_at, reason, result,
    result_until)
SELECT id, task, queue, 'completed', args, priority, attempt, crashes, fence, created_at, run_at, started_at, {now},
       worker, retry, timeout, tags, metadata, unique_key, lane, workflow, progress, progress_message, progress_data, cancel_requested_at, :note, :result,
       {now} + :keep
FROM turnspit_jobs WHERE id = :id AND fence = :fence AND state = 'running'
RETURNING id;

-- name: finish_job_outbox
INSERT INTO turnspit_outbox (job, fence, queue, task, worker, run_time, workflow)
SELECT id, fence, queue, task, worker, {now} - started_at, workflow FROM turnspit_jobs WHERE id = :id;

-- name: finish_job_remove
DELETE FROM turnspit_jobs WHERE id = :id;

-- name: finish_jobs_outbox
-- The fence matters: a job that was replayed may have a row of an earlier claim, whose worker died after its commit.
DELETE FROM turnspit_outbox WHERE job = :id AND fence = :fence RETURNING job, queue, task, run_time, workflow;

-- name: finish_jobs_is_free
-- Nobody else can write meanwhile, so no other transaction can have the job locked.
SELECT 1 FROM turnspit_jobs WHERE id = :id;

-- name: return_jobs
-- `claims` is [[id, fence], ...].
UPDATE turnspit_jobs NOT INDEXED
SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END, worker = NULL, attempt = attempt - 1, started_at = NULL,
    expires_at = CASE WHEN turnspit_jobs.id NOT IN (SELECT value FROM json_each(:begun)) THEN expires_at END
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS fence FROM json_each(:claims)) AS claim
WHERE turnspit_jobs.id = claim.id AND turnspit_jobs.fence = claim.fence AND state = 'running'
RETURNING turnspit_jobs.id, cancel_requested_at, lane;

-- name: promote_jobs
UPDATE turnspit_jobs SET state = CASE WHEN lane IS NULL THEN 'ready' ELSE 'held' END
WHERE id IN ({which})
RETURNING id;

-- name: promote_jobs_due
SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_scheduled
WHERE state = 'scheduled' AND run_at <= {now} ORDER BY run_at LIMIT :limit;

-- name: promote_jobs_late
SELECT id FROM turnspit_jobs INDEXED BY turnspit_jobs_expires
WHERE expires_at IS NOT NULL AND state IN ('ready', 'held', 'scheduled', 'blocked') AND expires_at <= {now}
ORDER BY expires_at LIMIT :limit;

-- name: promote_jobs_chosen
SELECT value FROM json_each(:ids);

-- name: promote_jobs_next
SELECT (SELECT min(run_at) FROM turnspit_jobs WHERE state = 'scheduled') - {now},
       (SELECT min(expires_at) FROM turnspit_jobs INDEXED BY turnspit_jobs_expires
        WHERE expires_at IS NOT NULL AND state IN ('ready', 'held', 'scheduled', 'blocked')) - {now};

-- name: promote_jobs_expired
UPDATE turnspit_jobs
SET reason = 'expired: it did not start by ' || strftime('%Y-%m-%d %H:%M:%S', expires_at / 1000000, 'unixepoch') || ' UTC'
WHERE id IN ({which})
RETURNING id;

-- name: record_progress
UPDATE turnspit_jobs
SET progress = coalesce(:progress, progress), progress_message = coalesce(:message, progress_message),
    progress_data = coalesce(:data, progress_data), cursor = coalesce(:cursor, cursor)
WHERE id = :id AND fence = :fence AND state = 'running'
RETURNING id;

-- name: record_progress_locked
-- Whether record_progress updated nothing because an open transaction has the row locked, which cannot happen on SQLite.
SELECT id FROM turnspit_jobs WHERE id = :id AND fence = :fence AND state = 'running';

-- name: record_progress_log
-- At most 1,000 lines a job are kept; the last one says that there were more.
INSERT INTO turnspit_logs (job, attempt, at, level, message)
SELECT :id, :attempt, {now}, CASE WHEN kept = 999 THEN 'warning' ELSE :level END,
       CASE WHEN kept = 999 THEN 'more than 1,000 lines: the rest is not kept' ELSE :message END
FROM (SELECT count(*) AS kept FROM (SELECT 1 FROM turnspit_logs WHERE job = :id LIMIT 1000)) WHERE kept < 1000;

-- name: prune_jobs_old
SELECT id FROM turnspit_history WHERE finished_at <= {now} - :history ORDER BY finished_at LIMIT :limit;

-- name: prune_jobs_dead
SELECT id, state, workflow FROM turnspit_jobs INDEXED BY turnspit_jobs_dead_finished
WHERE state = 'dead' AND finished_at <= {now} - :dead ORDER BY finished_at LIMIT :limit;

-- name: prune_jobs_results
UPDATE turnspit_history SET result = NULL, result_until = NULL, reason = 'its result was kept for a limited time'
WHERE id IN (SELECT id FROM turnspit_history WHERE result_until <= {now} ORDER BY result_until LIMIT :limit)
RETURNING id;

-- name: prune_jobs_counters
DELETE FROM turnspit_counters WHERE minute < {now} / 60000000 - 60 * 24 * 30;

-- name: prune_jobs_workers
DELETE FROM turnspit_workers WHERE stopped_at <= {now} - :history;

-- name: remove_history
DELETE FROM turnspit_history WHERE id IN (SELECT value FROM json_each(:ids));

-- name: remove_jobs
DELETE FROM turnspit_jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: remove_attempts
DELETE FROM turnspit_attempts WHERE job IN (SELECT value FROM json_each(:ids));

-- name: remove_logs
DELETE FROM turnspit_logs WHERE job IN (SELECT value FROM json_each(:ids));
