-- Nobody else can write meanwhile, so nobody else takes a tick that was read here.

-- name: declare_schedules_lock
SELECT {now};

-- name: declare_schedules_release
SELECT max(number) FILTER (WHERE release = :release), max(number) FROM turnspit_schedule_releases WHERE app = :app;

-- name: declare_schedules_newest
INSERT OR REPLACE INTO turnspit_schedule_releases (app, release, number) VALUES (:app, :release, :number);

-- name: declare_schedules_remove
DELETE FROM turnspit_schedules
WHERE app = :app AND is_declared AND name NOT IN (SELECT value FROM json_each(:names))
  AND task IN (SELECT value FROM json_each(:tasks))
RETURNING name;

-- name: insert_schedule
INSERT INTO turnspit_schedules (app, name, task, rule, job, missed, overlap, is_declared, created_at, next_tick)
VALUES (:app, :name, :task, :rule, :job, :missed, :overlap, :is_declared, :now, :next_tick)
ON CONFLICT (app, name) DO UPDATE
SET task = excluded.task, rule = excluded.rule, job = excluded.job, missed = excluded.missed,
    overlap = excluded.overlap, is_declared = excluded.is_declared,
    created_at = CASE WHEN rule = excluded.rule THEN created_at ELSE excluded.created_at END,
    next_tick = CASE WHEN rule = excluded.rule OR paused_at IS NOT NULL THEN next_tick ELSE excluded.next_tick END;

-- name: list_schedules
SELECT app, name, task, rule, job, missed, overlap, is_declared, created_at, paused_at, next_tick, last_tick, last_job,
       waiting
FROM turnspit_schedules WHERE (:app IS NULL OR app = :app) AND (:name IS NULL OR name = :name) ORDER BY app, name;

-- name: pause_schedule
UPDATE turnspit_schedules SET paused_at = :now, next_tick = NULL, waiting = '[]' WHERE app = :app AND name = :name;

-- name: resume_schedule
UPDATE turnspit_schedules SET paused_at = NULL, next_tick = :next_tick, waiting = '[]'
WHERE app = :app AND name = :name;

-- name: delete_schedule
DELETE FROM turnspit_schedules
WHERE app = :app AND name = :name AND (NOT is_declared OR task NOT IN (SELECT value FROM json_each(:tasks)))
RETURNING name;

-- name: run_schedule
SELECT {now}, job FROM turnspit_schedules WHERE app = :app AND name = :name;

-- name: fire_schedules
SELECT {now}, app, name, task, rule, job, missed, overlap, is_declared, created_at, paused_at, next_tick, last_tick,
       last_job, waiting
FROM turnspit_schedules
WHERE paused_at IS NULL AND task IN (SELECT value FROM json_each(:tasks))
  AND (next_tick <= {now}
       OR waiting <> '[]' AND NOT EXISTS (SELECT 1 FROM turnspit_jobs WHERE id = last_job AND state <> 'dead'))
ORDER BY next_tick LIMIT :limit;

-- name: fire_schedules_next
SELECT min(CASE WHEN waiting <> '[]' THEN min(next_tick, {now} + 1000000) ELSE next_tick END) - {now}
FROM turnspit_schedules WHERE paused_at IS NULL AND task IN (SELECT value FROM json_each(:tasks));

-- name: fire_schedules_live
SELECT id FROM turnspit_jobs WHERE id = :job AND state <> 'dead';

-- name: fire_schedules_take
UPDATE turnspit_schedules SET next_tick = :next_tick, waiting = :waiting
WHERE app = :app AND name = :name AND next_tick IS :seen RETURNING name;

-- name: fire_schedules_fired
UPDATE turnspit_schedules SET last_tick = :tick, last_job = :job WHERE app = :app AND name = :name;
