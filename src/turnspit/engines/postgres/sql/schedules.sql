-- A due schedule is locked by the worker that takes its tick; the others skip it.

-- name: declare_schedules_lock
-- Releases and people change the schedules of one app one at a time.
WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtext('{schema}'), hashtext('schedules ' || :app::text)))
SELECT {now} FROM locked;

-- name: declare_schedules_release
SELECT max(number) FILTER (WHERE release = :release::text), max(number)
FROM {schema}.schedule_releases WHERE app = :app::text;

-- name: declare_schedules_newest
INSERT INTO {schema}.schedule_releases (app, release, number) VALUES (:app::text, :release::text, :number::bigint)
ON CONFLICT (app, release) DO UPDATE SET number = excluded.number;

-- name: declare_schedules_remove
DELETE FROM {schema}.schedules
WHERE app = :app::text AND is_declared AND name <> ALL (ARRAY(SELECT json_array_elements_text(:names::json)))
  AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json)))
RETURNING name;

-- name: insert_schedule
INSERT INTO {schema}.schedules AS held (app, name, task, rule, job, missed, overlap, is_declared, created_at, next_tick)
VALUES (:app::text, :name::text, :task::text, :rule::text, :job::text, :missed::text, :overlap::text,
        :is_declared::boolean, :now::bigint, :next_tick::bigint)
ON CONFLICT (app, name) DO UPDATE
SET task = excluded.task, rule = excluded.rule, job = excluded.job, missed = excluded.missed,
    overlap = excluded.overlap, is_declared = excluded.is_declared,
    created_at = CASE WHEN held.rule = excluded.rule THEN held.created_at ELSE excluded.created_at END,
    next_tick = CASE WHEN held.rule = excluded.rule OR held.paused_at IS NOT NULL
                     THEN held.next_tick ELSE excluded.next_tick END;

-- name: list_schedules
SELECT app, name, task, rule, job, missed, overlap, is_declared, created_at, paused_at, next_tick, last_tick, last_job,
       waiting
FROM {schema}.schedules
WHERE (:app::text IS NULL OR app = :app::text) AND (:name::text IS NULL OR name = :name::text) ORDER BY app, name;

-- name: pause_schedule
UPDATE {schema}.schedules SET paused_at = :now::bigint, next_tick = NULL, waiting = '[]'
WHERE app = :app::text AND name = :name::text;

-- name: resume_schedule
UPDATE {schema}.schedules SET paused_at = NULL, next_tick = :next_tick::bigint, waiting = '[]'
WHERE app = :app::text AND name = :name::text;

-- name: delete_schedule
DELETE FROM {schema}.schedules WHERE app = :app::text AND name = :name::text
  AND (NOT is_declared OR task <> ALL (ARRAY(SELECT json_array_elements_text(:tasks::json))))
RETURNING name;

-- name: run_schedule
SELECT {now}, job FROM {schema}.schedules WHERE app = :app::text AND name = :name::text;

-- name: fire_schedules
SELECT {now}, app, name, task, rule, job, missed, overlap, is_declared, created_at, paused_at, next_tick, last_tick,
       last_job, waiting
FROM {schema}.schedules
WHERE paused_at IS NULL AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json)))
  AND (next_tick <= {now}
       OR waiting <> '[]' AND NOT EXISTS (SELECT FROM {schema}.jobs WHERE id = last_job AND state <> 'dead'))
ORDER BY next_tick LIMIT :limit FOR UPDATE OF schedules SKIP LOCKED;

-- name: fire_schedules_next
SELECT min(CASE WHEN waiting <> '[]' THEN least(next_tick, {now} + 1000000) ELSE next_tick END) - {now}
FROM {schema}.schedules
WHERE paused_at IS NULL AND task = ANY (ARRAY(SELECT json_array_elements_text(:tasks::json)));

-- name: fire_schedules_live
SELECT id FROM {schema}.jobs WHERE id = :job::bigint AND state <> 'dead';

-- name: fire_schedules_take
UPDATE {schema}.schedules SET next_tick = :next_tick::bigint, waiting = :waiting::text
WHERE app = :app::text AND name = :name::text AND next_tick IS NOT DISTINCT FROM :seen::bigint RETURNING name;

-- name: fire_schedules_fired
UPDATE {schema}.schedules SET last_tick = :tick::bigint, last_job = :job::bigint
WHERE app = :app::text AND name = :name::text;
