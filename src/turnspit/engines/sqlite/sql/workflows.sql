-- Workflows. {now} as in jobs.sql. One writer holds the file: nothing here has to be locked.

-- name: find_workflow_lock
-- There is one writer.
SELECT 1;

-- name: find_workflow
-- Whether a workflow still holds its key is found out here, so that its end has nothing to do for it.
SELECT id FROM turnspit_workflows
WHERE name = :name AND idempotency_key = :idempotency_key AND (finished_at IS NULL OR created_at > {now} - 86400000000)
ORDER BY id DESC LIMIT 1;

-- name: insert_workflow
-- A workflow that several transactions fill is looked at after a day, because whoever filled it may have died.
INSERT INTO turnspit_workflows (name, hooks, idempotency_key, created_at, sealed_at, deadline_at, look_at)
SELECT :name, :hooks, :idempotency_key, moment, CASE WHEN :is_sealed = 1 THEN moment END, moment + :deadline,
       CASE WHEN :is_sealed = 1 THEN moment + :deadline ELSE moment + 86400000000 END
FROM (SELECT {now} AS moment)
RETURNING id;

-- name: extend_workflow
-- A running job that adds jobs to its own workflow.
SELECT workflow FROM turnspit_jobs WHERE id = :id AND fence = :fence AND state = 'running';

-- name: extend_workflow_named
SELECT name, job FROM turnspit_workflow_jobs
WHERE workflow = :workflow AND name IN (SELECT value FROM json_each(:names));

-- name: extend_workflow_jobs
INSERT INTO turnspit_jobs (task, queue, args, priority, retry, timeout, tags, metadata, lane, workflow,
                           expires_at, created_at, run_at, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: extend_workflow_nodes
INSERT INTO turnspit_workflow_jobs (job, workflow, name, waits_for, on_failure, delay, results, is_used)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: extend_workflow_edges
INSERT OR IGNORE INTO turnspit_workflow_edges (dependency, dependant, on_failure) VALUES (?, ?, ?);

-- name: extend_workflow_lock
SELECT id, state FROM turnspit_jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: extend_workflow_ended
SELECT job, (SELECT state FROM turnspit_history WHERE id = node.job)
FROM turnspit_workflow_jobs AS node WHERE job IN (SELECT value FROM json_each(:ids)) AND workflow = :workflow;

-- name: extend_workflow_used
UPDATE turnspit_workflow_jobs
SET is_used = 1, result = coalesce(result, (SELECT result FROM turnspit_history AS ended WHERE ended.id = job))
WHERE job IN (SELECT value FROM json_each(:ids)) AND is_used = 0;

-- name: extend_workflow_lock_nodes
-- The plus keeps SQLite from reading all jobs of the workflow for each portion of a fan-in.
SELECT job, on_failure FROM turnspit_workflow_jobs
WHERE job IN (SELECT value FROM json_each(:ids)) AND +workflow = :workflow;

-- name: extend_workflow_lock_workflow
SELECT sealed_at IS NULL, cancelled_at IS NOT NULL, finished_at IS NOT NULL FROM turnspit_workflows WHERE id = :workflow;

-- name: extend_workflow_before
UPDATE turnspit_workflow_jobs SET waits_for = waits_for + more.count
FROM (SELECT json_extract(value, '$.job') AS job, json_extract(value, '$.count') AS count FROM json_each(:counts)) AS more
WHERE turnspit_workflow_jobs.job = more.job;

-- name: extend_workflow_waiting
SELECT id FROM turnspit_jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'blocked';

-- name: extend_workflow_reaches
-- The jobs that are to wait for a new job, and all that wait for those: if the new job waits for one of them, that closes a
-- circle.
WITH RECURSIVE behind(origin, job) AS (
    SELECT value, value FROM json_each(:before)
    UNION
    SELECT origin, dependant FROM behind JOIN turnspit_workflow_edges ON dependency = behind.job
)
SELECT origin, job FROM behind WHERE job IN (SELECT value FROM json_each(:ids));

-- name: extend_workflow_count
UPDATE turnspit_workflows SET jobs = jobs + :count, unfinished = unfinished + :count
WHERE id = :workflow;

-- name: seal_workflow
UPDATE turnspit_workflows
SET sealed_at = {now}, starting_after = 0, look_at = {now}, finished_at = CASE WHEN unfinished = 0 THEN {now} END
WHERE id = :workflow AND sealed_at IS NULL
RETURNING id, finished_at IS NOT NULL, dead + cancelled, hooks;

-- name: seal_workflow_portion
SELECT job, waits_for FROM turnspit_workflow_jobs
WHERE workflow = :workflow AND job > :after ORDER BY job LIMIT :limit;

-- name: seal_workflow_started
UPDATE turnspit_workflows
SET starting_after = :after,
    look_at = CASE WHEN :after IS NOT NULL THEN {now} WHEN finished_at IS NULL THEN deadline_at END
WHERE id = :workflow;

-- name: cancel_workflow
UPDATE turnspit_workflows
SET cancelled_at = coalesce(cancelled_at, {now}), reason = coalesce(reason, :reason), look_at = {now}
WHERE id = :workflow AND finished_at IS NULL
RETURNING reason, unfinished = 0;

-- name: cancel_workflow_done
UPDATE turnspit_workflows
SET look_at = NULL,
    finished_at = CASE WHEN unfinished = 0 AND sealed_at IS NULL THEN {now} ELSE finished_at END
WHERE id = :workflow;

-- name: replay_workflow
SELECT id, state, workflow FROM (
    SELECT * FROM (SELECT id, state, workflow FROM turnspit_jobs
                   WHERE workflow = :workflow AND state = 'dead' AND id > :after ORDER BY id LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT id, state, workflow FROM turnspit_history
                   WHERE workflow = :workflow AND (:is_whole = 1 OR state = 'cancelled') AND id > :after
                   ORDER BY id LIMIT :limit)
) ORDER BY id LIMIT :limit;

-- name: replay_workflow_gone
-- When all are back, whoever is not among them was deleted.
SELECT job FROM turnspit_workflow_jobs
WHERE workflow = :workflow AND NOT EXISTS (SELECT 1 FROM turnspit_jobs WHERE id = job) ORDER BY job;

-- name: replay_workflow_ended
SELECT id FROM turnspit_workflows WHERE id = :workflow AND (finished_at IS NOT NULL OR sealed_at IS NULL);

-- name: replay_workflow_whole
UPDATE turnspit_workflows
SET sealed_at = NULL, finished_at = NULL, cancelled_at = NULL, reason = NULL, deadline_at = NULL,
    look_at = {now} + 86400000000
WHERE id = :workflow;

-- name: tend_workflows
-- Always: nobody else can write meanwhile.
SELECT 1;

-- name: tend_workflows_ends
DELETE FROM turnspit_workflow_ends WHERE job IN (SELECT job FROM turnspit_workflow_ends ORDER BY job LIMIT :limit)
RETURNING job, outcome, after;

-- name: tend_workflows_due
SELECT id, sealed_at IS NOT NULL, starting_after, cancelled_at IS NOT NULL, coalesce(deadline_at <= {now}, 0)
FROM turnspit_workflows WHERE look_at <= {now} ORDER BY look_at LIMIT 10;

-- name: tend_workflows_next
SELECT CASE WHEN EXISTS (SELECT 1 FROM turnspit_workflow_ends) THEN 0
            ELSE (SELECT min(look_at) - {now} FROM turnspit_workflows WHERE look_at IS NOT NULL) END;

-- name: get_workflow
SELECT id, name, created_at, sealed_at, deadline_at, cancelled_at, reason, finished_at, jobs, unfinished, completed,
       cancelled, dead, idempotency_key
FROM turnspit_workflows WHERE id = :workflow;

-- name: list_workflows
SELECT id, name, created_at, sealed_at, deadline_at, cancelled_at, reason, finished_at, jobs, unfinished, completed,
       cancelled, dead, idempotency_key
FROM turnspit_workflows
WHERE (:name IS NULL OR name = :name) AND (:is_finished IS NULL OR (finished_at IS NOT NULL) = :is_finished)
  AND id < :before
ORDER BY id DESC LIMIT :limit;

-- name: find_standing_workflows
WITH failed AS MATERIALIZED (
    -- Unfinished, and one of their jobs ended badly: few are, and an index holds just these.
    SELECT id, name, unfinished FROM turnspit_workflows INDEXED BY turnspit_workflows_failed
    WHERE finished_at IS NULL AND (dead > 0 OR cancelled > 0)
      AND sealed_at IS NOT NULL AND starting_after IS NULL AND cancelled_at IS NULL AND unfinished <= :most_jobs
    ORDER BY id LIMIT :most
), standing AS MATERIALIZED (
    -- No job of theirs can go on, and nothing is still to follow from one that has ended. Their culprit is what the first
    -- blocked job waits for, and will for ever: a dead job, or one that lives no more, which must have been cancelled,
    -- because what completed holds nobody.
    SELECT id, name, unfinished,
           (SELECT edge.dependency
            FROM turnspit_jobs AS waiting INDEXED BY turnspit_jobs_workflow
            CROSS JOIN turnspit_workflow_edges AS edge ON edge.dependant = waiting.id
            WHERE waiting.workflow = failed.id AND waiting.state = 'blocked'
              AND edge.is_settled = 0
              AND NOT EXISTS (SELECT 1 FROM turnspit_jobs WHERE id = edge.dependency AND state <> 'dead')
            ORDER BY waiting.id LIMIT 1) AS job
    FROM failed
    WHERE NOT EXISTS (SELECT 1 FROM turnspit_jobs AS active INDEXED BY turnspit_jobs_workflow
                      WHERE active.workflow = failed.id AND active.state IN ('scheduled', 'held', 'ready', 'running'))
      AND NOT EXISTS (SELECT 1 FROM turnspit_outbox AS done WHERE done.workflow = failed.id)
      AND NOT EXISTS (SELECT 1 FROM turnspit_workflow_ends AS left_over
                      CROSS JOIN turnspit_workflow_jobs AS node ON node.job = left_over.job
                      WHERE node.workflow = failed.id)
    ORDER BY id LIMIT :limit
)
SELECT id, name, job, coalesce((SELECT task FROM turnspit_jobs WHERE id = job),
                               (SELECT task FROM turnspit_history WHERE id = job)),
       coalesce((SELECT state FROM turnspit_jobs WHERE id = job), 'cancelled'), unfinished
FROM standing WHERE job IS NOT NULL ORDER BY id;

-- name: list_workflow_jobs
SELECT node.job, node.name, node.on_failure, node.waits_for,
       coalesce(job.task, ended.task), coalesce(job.queue, ended.queue), coalesce(job.state, ended.state),
       coalesce(job.attempt, ended.attempt), coalesce(job.started_at, ended.started_at),
       coalesce(job.finished_at, ended.finished_at), coalesce(job.progress, ended.progress),
       coalesce(job.reason, ended.reason)
FROM turnspit_workflow_jobs AS node
LEFT JOIN turnspit_jobs AS job ON job.id = node.job
LEFT JOIN turnspit_history AS ended ON ended.id = node.job
WHERE node.workflow = :workflow AND node.job > :after ORDER BY node.job LIMIT :limit;

-- name: list_workflow_edges
SELECT dependency, dependant FROM turnspit_workflow_edges
WHERE dependant IN (SELECT value FROM json_each(:ids)) ORDER BY dependant, dependency;

-- name: list_workflow_results
SELECT node.name, ended.task, coalesce(node.result, ended.result)
FROM turnspit_workflow_jobs AS node JOIN turnspit_history AS ended ON ended.id = node.job AND ended.state = 'completed'
WHERE node.workflow = :workflow AND node.name IS NOT NULL ORDER BY node.job;

-- name: prune_workflows
SELECT id FROM turnspit_workflows
WHERE finished_at <= {now} - :history AND dead = 0 ORDER BY finished_at LIMIT 20;

-- name: prune_workflows_jobs
DELETE FROM turnspit_workflow_jobs WHERE job IN (
    SELECT job FROM turnspit_workflow_jobs WHERE workflow IN (SELECT value FROM json_each(:ids)) ORDER BY job LIMIT :limit)
RETURNING job;

-- name: prune_workflows_edges
DELETE FROM turnspit_workflow_edges WHERE dependant IN (SELECT value FROM json_each(:ids));

-- name: prune_workflows_remove
DELETE FROM turnspit_workflows WHERE id IN (SELECT value FROM json_each(:ids))
  AND NOT EXISTS (SELECT 1 FROM turnspit_workflow_jobs WHERE workflow = turnspit_workflows.id);

-- name: follow_ends
-- The edges that lead away from jobs that ended, ordered so that a later portion can continue.
SELECT edge.dependency, edge.dependant, edge.on_failure
FROM (SELECT json_extract(value, '$.job') AS job, json_extract(value, '$.after') AS after FROM json_each(:ends)) AS ended
CROSS JOIN turnspit_workflow_edges AS edge ON edge.dependency = ended.job
WHERE edge.dependant > ended.after AND edge.is_settled = 0
ORDER BY edge.dependency, edge.dependant LIMIT :limit;

-- name: follow_ends_results
UPDATE turnspit_workflow_jobs
SET result = (SELECT result FROM turnspit_history AS ended WHERE ended.id = job)
WHERE job IN (SELECT value FROM json_each(:ids)) AND is_used = 1;

-- name: follow_ends_settle
UPDATE turnspit_workflow_edges SET is_settled = 1
FROM (SELECT json_extract(value, '$.dependency') AS dependency, json_extract(value, '$.dependant') AS dependant
      FROM json_each(:edges)) AS settled
WHERE turnspit_workflow_edges.dependency = settled.dependency AND turnspit_workflow_edges.dependant = settled.dependant;

-- name: follow_ends_count
UPDATE turnspit_workflow_jobs SET waits_for = waits_for - less.count
FROM (SELECT json_extract(value, '$.job') AS job, json_extract(value, '$.count') AS count FROM json_each(:counts)) AS less
WHERE turnspit_workflow_jobs.job = less.job
RETURNING turnspit_workflow_jobs.job, waits_for;

-- name: follow_ends_waiting
SELECT node.job, results, delay, flow.cancelled_at IS NOT NULL
FROM turnspit_workflow_jobs AS node JOIN turnspit_workflows AS flow ON flow.id = node.workflow
WHERE node.job IN (SELECT value FROM json_each(:ids));

-- name: follow_ends_values
SELECT job, result FROM turnspit_workflow_jobs WHERE job IN (SELECT value FROM json_each(:ids));

-- name: follow_ends_arguments
SELECT id, args FROM turnspit_jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'blocked';

-- name: follow_ends_release
UPDATE turnspit_jobs
SET run_at = max(run_at, {now} + released.delay), args = coalesce(released.args, turnspit_jobs.args), attempt = 0,
    state = CASE WHEN max(run_at, {now} + released.delay) > {now} THEN 'scheduled' WHEN lane IS NULL THEN 'ready'
                 ELSE 'held' END
FROM (SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.delay') AS delay,
             json_extract(value, '$.args') AS args FROM json_each(:released)) AS released
WHERE turnspit_jobs.id = released.id AND state = 'blocked'
RETURNING turnspit_jobs.id, state;

-- name: follow_ends_dead
UPDATE turnspit_jobs
SET state = 'dead', finished_at = {now}, error_type = 'InvalidPayload', reason = wrong.reason,
    fingerprint = task || ':results'
FROM (SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.reason') AS reason FROM json_each(:wrong)) AS wrong
WHERE turnspit_jobs.id = wrong.id AND state = 'blocked'
RETURNING turnspit_jobs.id, workflow;

-- name: follow_ends_doom
UPDATE turnspit_jobs SET reason = doomed.reason
FROM (SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.reason') AS reason FROM json_each(:doomed))
    AS doomed
WHERE turnspit_jobs.id = doomed.id AND state = 'blocked'
RETURNING turnspit_jobs.id;

-- name: follow_ends_doomed_by
UPDATE turnspit_workflow_jobs SET cancelled_by = doomed.dependency
FROM (SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.dependency') AS dependency
      FROM json_each(:doomed)) AS doomed
WHERE turnspit_workflow_jobs.job = doomed.id;

-- name: follow_ends_revive
SELECT job, workflow FROM turnspit_workflow_jobs
WHERE cancelled_by IN (SELECT value FROM json_each(:ids)) ORDER BY job LIMIT :limit;

-- name: follow_ends_revivable
SELECT id, state, workflow FROM turnspit_history
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'cancelled' ORDER BY id;

-- name: follow_ends_gone
-- These were deleted or pruned: the next portion must not find them again.
UPDATE turnspit_workflow_jobs SET cancelled_by = NULL WHERE job IN (SELECT value FROM json_each(:ids));

-- name: follow_ends_keep
INSERT OR REPLACE INTO turnspit_workflow_ends (job, outcome, after)
SELECT json_extract(value, '$.job'), json_extract(value, '$.outcome'), json_extract(value, '$.after')
FROM json_each(:ends);

-- name: follow_ends_workflows
UPDATE turnspit_workflows
SET unfinished = turnspit_workflows.unfinished + tally.unfinished,
    completed = turnspit_workflows.completed + tally.completed,
    cancelled = turnspit_workflows.cancelled + tally.cancelled, dead = turnspit_workflows.dead + tally.dead,
    finished_at = CASE WHEN turnspit_workflows.unfinished + tally.unfinished > 0 THEN NULL
                       WHEN tally.unfinished < 0 AND sealed_at IS NOT NULL THEN {now} ELSE finished_at END,
    look_at = CASE WHEN turnspit_workflows.unfinished + tally.unfinished > 0 OR sealed_at IS NULL THEN look_at END
FROM (SELECT json_extract(value, '$.workflow') AS workflow, json_extract(value, '$.unfinished') AS unfinished,
             json_extract(value, '$.completed') AS completed, json_extract(value, '$.cancelled') AS cancelled,
             json_extract(value, '$.dead') AS dead FROM json_each(:tally)) AS tally
WHERE turnspit_workflows.id = tally.workflow
RETURNING id, turnspit_workflows.unfinished = 0 AND sealed_at IS NOT NULL, turnspit_workflows.dead + turnspit_workflows.cancelled, hooks;

-- name: revive_jobs
SELECT job FROM turnspit_workflow_jobs WHERE job IN (SELECT value FROM json_each(:ids)) ORDER BY job;

-- name: revive_jobs_workflows
UPDATE turnspit_workflows SET cancelled_at = NULL, reason = NULL, deadline_at = NULL
WHERE id IN (SELECT value FROM json_each(:ids)) AND (cancelled_at IS NOT NULL OR deadline_at IS NOT NULL);

-- name: revive_jobs_block
UPDATE turnspit_jobs SET state = 'blocked' WHERE id IN (SELECT value FROM json_each(:ids));

-- name: revive_jobs_unsettle
-- What completed and was deleted since, or pruned, cannot run again: nobody waits for it.
UPDATE turnspit_workflow_edges SET is_settled = 0
WHERE dependant IN (SELECT value FROM json_each(:ids)) AND is_settled = 1
  AND (dependency IN (SELECT value FROM json_each(:ids))
       OR :is_whole = 1 AND (EXISTS (SELECT 1 FROM turnspit_jobs WHERE id = dependency)
                             OR EXISTS (SELECT 1 FROM turnspit_history WHERE id = dependency)));

-- name: revive_jobs_gone
SELECT DISTINCT dependency FROM turnspit_workflow_edges
WHERE dependant IN (SELECT value FROM json_each(:ids)) AND is_settled = 0
  AND NOT EXISTS (SELECT 1 FROM turnspit_jobs WHERE id = dependency)
  AND NOT EXISTS (SELECT 1 FROM turnspit_history WHERE id = dependency)
ORDER BY dependency;

-- name: revive_jobs_count
UPDATE turnspit_workflow_jobs
SET cancelled_by = NULL,
    waits_for = (SELECT count(*) FROM turnspit_workflow_edges AS edge
                 WHERE edge.dependant = turnspit_workflow_jobs.job AND is_settled = 0)
WHERE job IN (SELECT value FROM json_each(:ids))
RETURNING job, waits_for;
