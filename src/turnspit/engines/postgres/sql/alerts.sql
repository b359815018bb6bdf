-- name: take_turn
INSERT INTO {schema}.turns AS turn (name, next_at) VALUES (:name, {now} + :interval)
ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at WHERE turn.next_at <= {now}
RETURNING name;

-- name: take_turn_next
SELECT next_at - {now} FROM {schema}.turns WHERE name = :name;

-- name: settle_alerts_begin
INSERT INTO {schema}.alerts (app, rule, kind, subject, since, told_at)
VALUES (:app, :rule, :kind, :subject, {now}, {now})
ON CONFLICT (app, rule, kind, subject) DO NOTHING
RETURNING since;

-- name: settle_alerts_repeat
UPDATE {schema}.alerts SET told_at = {now}
WHERE app = :app AND rule = :rule AND kind = :kind AND subject = :subject AND told_at <= {now} - :repeat
RETURNING since;

-- name: settle_alerts_list
SELECT kind, subject FROM {schema}.alerts WHERE app = :app AND rule = :rule ORDER BY kind, subject;

-- name: settle_alerts_end
DELETE FROM {schema}.alerts WHERE app = :app AND rule = :rule AND kind = :kind AND subject = :subject RETURNING since;

-- name: find_unknown_tasks
-- A loose index scan over the tasks that have held jobs, however many there are of each. Each LIMIT stands behind the
-- order of that index: without one, the first job of each task was looked for by a walk through the table.
WITH RECURSIVE each(task) AS (
    (SELECT task FROM {schema}.jobs WHERE state = 'held' ORDER BY task, lane, paused_by LIMIT 1)
    UNION ALL
    SELECT (SELECT job.task FROM {schema}.jobs AS job WHERE state = 'held' AND job.task > each.task
            ORDER BY job.task, lane, paused_by LIMIT 1)
    FROM each WHERE each.task IS NOT NULL
)
SELECT each.task, first.run_at FROM each CROSS JOIN LATERAL (
    SELECT run_at FROM {schema}.jobs AS job
    WHERE state = 'held' AND job.task = each.task AND lane IS NULL AND paused_by IS NULL
    ORDER BY job.task, lane, paused_by LIMIT 1
) AS first
WHERE each.task IS NOT NULL;
