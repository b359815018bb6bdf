-- name: take_turn
INSERT INTO turnspit_turns AS turn (name, next_at) VALUES (:name, {now} + :interval)
ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at WHERE turn.next_at <= {now}
RETURNING name;

-- name: take_turn_next
SELECT next_at - {now} FROM turnspit_turns WHERE name = :name;

-- name: settle_alerts_begin
INSERT INTO turnspit_alerts (app, rule, kind, subject, since, told_at)
VALUES (:app, :rule, :kind, :subject, {now}, {now})
ON CONFLICT (app, rule, kind, subject) DO NOTHING
RETURNING since;

-- name: settle_alerts_repeat
UPDATE turnspit_alerts SET told_at = {now}
WHERE app = :app AND rule = :rule AND kind = :kind AND subject = :subject AND told_at <= {now} - :repeat
RETURNING since;

-- name: settle_alerts_list
SELECT kind, subject FROM turnspit_alerts WHERE app = :app AND rule = :rule ORDER BY kind, subject;

-- name: settle_alerts_end
DELETE FROM turnspit_alerts WHERE app = :app AND rule = :rule AND kind = :kind AND subject = :subject RETURNING since;

-- name: find_unknown_tasks
-- A loose index scan over the tasks that have held jobs, however many there are of each.
WITH RECURSIVE each(task) AS (
    SELECT min(task) FROM turnspit_jobs WHERE state = 'held'
    UNION ALL
    SELECT (SELECT min(task) FROM turnspit_jobs WHERE state = 'held' AND task > each.task)
    FROM each WHERE each.task IS NOT NULL
)
SELECT task, since FROM (
    SELECT task, (SELECT run_at FROM turnspit_jobs AS job INDEXED BY turnspit_jobs_held
                  WHERE state = 'held' AND job.task = each.task AND lane IS NULL AND paused_by IS NULL
                  LIMIT 1) AS since
    FROM each WHERE task IS NOT NULL
) WHERE since IS NOT NULL;
