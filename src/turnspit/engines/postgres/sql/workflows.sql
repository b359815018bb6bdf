-- Workflows. {now}, {schema} and {ids} as in jobs.sql.

-- name: find_workflow_lock
-- Other transactions that want the key wait until this one has ended. The row is kept for a day, though nobody reads it: a
-- caller's REPEATABLE READ transaction whose snapshot is older than the workflow would not find that, and fails on the row.
INSERT INTO {schema}.unique_keys AS held (key, job, states, until, look_at)
VALUES (:key, 0, '', 0, {now} + 86400000000)
ON CONFLICT (key) DO UPDATE SET look_at = excluded.look_at;

-- name: find_workflow
-- Whether a workflow still holds its key is found out here, so that its end has nothing to do for it.
SELECT id FROM {schema}.workflows
WHERE name = :name AND idempotency_key = :idempotency_key::text AND (finished_at IS NULL OR created_at > {now} - 86400000000)
ORDER BY id DESC LIMIT 1;

-- name: insert_workflow
-- A workflow that several transactions fill is looked at after a day, because whoever filled it may have died.
WITH moment AS MATERIALIZED (SELECT {now} AS now)
INSERT INTO {schema}.workflows (name, hooks, idempotency_key, created_at, sealed_at, deadline_at, look_at)
SELECT :name, :hooks, :idempotency_key::text, now, CASE WHEN :is_sealed = 1 THEN now END, now + :deadline::bigint,
       CASE WHEN :is_sealed = 1 THEN now + :deadline::bigint ELSE now + 86400000000 END
FROM moment
RETURNING id;

-- name: extend_workflow
-- Locks the running job that adds jobs to its own workflow, until they are stored.
SELECT workflow FROM {schema}.jobs WHERE id = :id AND fence = :fence AND state || '' = 'running' FOR UPDATE;

-- name: extend_workflow_named
SELECT name, job FROM {schema}.workflow_jobs
WHERE workflow = :workflow AND name = ANY (ARRAY(SELECT json_array_elements_text(:names::json)));

-- name: extend_workflow_jobs
WITH moment AS MATERIALIZED (SELECT {now} AS now),
times AS MATERIALIZED (
    SELECT new.*, now,
           CASE WHEN is_blocked = 1 THEN coalesce(at, now) ELSE greatest(coalesce(at, now), now + delay) END AS due
    FROM moment, ROWS FROM (json_to_recordset(:rows::text::json) AS (
        task text, queue text, args text, priority integer, retry text, timeout bigint, tags text, metadata text,
        lane text, workflow bigint, at bigint, delay bigint, expires_at bigint, expires_in bigint,
        is_blocked integer)) WITH ORDINALITY
        AS new (task, queue, args, priority, retry, timeout, tags, metadata, lane, workflow, at, delay, expires_at,
                expires_in, is_blocked, place)
)
INSERT INTO {schema}.jobs (task, queue, args, priority, retry, timeout, tags, metadata, lane, workflow,
                           expires_at, created_at, run_at, state)
SELECT task, queue, args::json, priority, retry, timeout, tags::json, metadata::json, lane, workflow,
       coalesce(expires_at, now + expires_in), now, due,
       CASE WHEN is_blocked = 1 THEN 'blocked' WHEN due > now THEN 'scheduled' WHEN lane IS NULL THEN 'ready'
            ELSE 'held' END
FROM times ORDER BY place
RETURNING id;

-- name: extend_workflow_nodes
INSERT INTO {schema}.workflow_jobs (job, workflow, name, waits_for, on_failure, delay, results, is_used)
SELECT job, workflow, name, waits_for, on_failure, delay, results, is_used
FROM json_to_recordset(:rows::text::json) AS new (
    job bigint, workflow bigint, name text, waits_for bigint, on_failure text, delay bigint, results text,
    is_used integer);

-- name: extend_workflow_edges
INSERT INTO {schema}.workflow_edges (dependency, dependant, on_failure)
SELECT dependency, dependant, on_failure
FROM json_to_recordset(:rows::text::json) AS new (dependency bigint, dependant bigint, on_failure text)
ON CONFLICT DO NOTHING;

-- name: extend_workflow_lock
-- Locks live dependencies until the edge is stored. One that ends before it is locked is found ended by the next statement,
-- which has a newer snapshot.
SELECT id, state FROM {schema}.jobs WHERE id = {ids} ORDER BY id FOR SHARE;

-- name: extend_workflow_ended
SELECT node.job, (SELECT state FROM {schema}.history WHERE id = node.job LIMIT 1)
FROM {schema}.workflow_jobs AS node WHERE node.job = {ids} AND node.workflow = :workflow;

-- name: extend_workflow_used
UPDATE {schema}.workflow_jobs
SET is_used = 1, result = coalesce(result, (SELECT result FROM {schema}.history AS ended WHERE ended.id = job LIMIT 1))
WHERE job = {ids} AND is_used = 0;

-- name: extend_workflow_lock_nodes
-- While it is locked, nobody makes the dependant ready.
SELECT job, on_failure FROM {schema}.workflow_jobs WHERE job = {ids} AND workflow = :workflow ORDER BY job FOR UPDATE;

-- name: extend_workflow_lock_workflow
SELECT sealed_at IS NULL, cancelled_at IS NOT NULL, finished_at IS NOT NULL
FROM {schema}.workflows WHERE id = :workflow FOR UPDATE;

-- name: extend_workflow_before
WITH more AS MATERIALIZED (
    SELECT job, count FROM json_to_recordset(:counts::json) AS given (job bigint, count bigint)
)
UPDATE {schema}.workflow_jobs AS node SET waits_for = waits_for + more.count
FROM more
WHERE node.job = ANY (ARRAY(SELECT job FROM more)) AND node.job = more.job;

-- name: extend_workflow_waiting
SELECT id FROM {schema}.jobs WHERE id = {ids} AND state = 'blocked';

-- name: extend_workflow_reaches
-- The jobs that are to wait for a new job, and all that wait for those: if the new job waits for one of them, that closes a
-- circle.
WITH RECURSIVE behind(origin, job) AS (
    SELECT id, id FROM (SELECT json_array_elements_text(:before::json)::bigint AS id) AS new
    UNION
    SELECT origin, dependant FROM behind JOIN {schema}.workflow_edges ON dependency = behind.job
)
SELECT origin, job FROM behind WHERE job = {ids};

-- name: extend_workflow_count
UPDATE {schema}.workflows SET jobs = jobs + :count, unfinished = unfinished + :count
WHERE id = :workflow;

-- name: seal_workflow
UPDATE {schema}.workflows
SET sealed_at = {now}, starting_after = 0, look_at = {now},
    finished_at = CASE WHEN unfinished = 0 THEN {now} END
WHERE id = :workflow AND sealed_at IS NULL
RETURNING id, finished_at IS NOT NULL, dead + cancelled, hooks;

-- name: seal_workflow_portion
-- While they are locked, no further job comes before one of them.
SELECT job, waits_for FROM {schema}.workflow_jobs
WHERE workflow = :workflow AND job > :after ORDER BY job LIMIT :limit FOR UPDATE;

-- name: seal_workflow_started
UPDATE {schema}.workflows
SET starting_after = :after::bigint,
    look_at = CASE WHEN :after::bigint IS NOT NULL THEN {now} WHEN finished_at IS NULL THEN deadline_at END
WHERE id = :workflow;

-- name: cancel_workflow
UPDATE {schema}.workflows SET cancelled_at = coalesce(cancelled_at, {now}), reason = coalesce(reason, :reason), look_at = {now}
WHERE id = :workflow AND finished_at IS NULL
RETURNING reason, unfinished = 0;

-- name: cancel_workflow_done
UPDATE {schema}.workflows
SET look_at = NULL,
    finished_at = CASE WHEN unfinished = 0 AND sealed_at IS NULL THEN {now} ELSE finished_at END
WHERE id = :workflow;

-- name: replay_workflow
WITH dead AS MATERIALIZED (
    SELECT id, state, workflow FROM {schema}.jobs
    WHERE workflow = :workflow AND state = 'dead' AND id > :after ORDER BY id LIMIT :limit FOR UPDATE
), ended AS MATERIALIZED (
    SELECT id, state, workflow FROM {schema}.history
    WHERE workflow = :workflow AND (:is_whole = 1 OR state = 'cancelled') AND id > :after
    ORDER BY id LIMIT :limit FOR UPDATE
)
SELECT id, state, workflow FROM dead UNION ALL SELECT id, state, workflow FROM ended ORDER BY id LIMIT :limit;

-- name: replay_workflow_gone
-- When all are back, whoever is not among them was deleted.
SELECT job FROM {schema}.workflow_jobs AS node
WHERE workflow = :workflow AND NOT EXISTS (SELECT FROM {schema}.jobs WHERE id = node.job) ORDER BY job;

-- name: replay_workflow_ended
SELECT id FROM {schema}.workflows WHERE id = :workflow AND (finished_at IS NOT NULL OR sealed_at IS NULL) FOR UPDATE;

-- name: replay_workflow_whole
UPDATE {schema}.workflows
SET sealed_at = NULL, finished_at = NULL, cancelled_at = NULL, reason = NULL, deadline_at = NULL,
    look_at = {now} + 86400000000
WHERE id = :workflow;

-- name: tend_workflows
-- One at a time; others try again later.
SELECT pg_try_advisory_xact_lock(hashtext('{schema}'), 5);

-- name: tend_workflows_ends
DELETE FROM {schema}.workflow_ends WHERE job = ANY (ARRAY(
    SELECT job FROM {schema}.workflow_ends ORDER BY job LIMIT :limit FOR UPDATE SKIP LOCKED))
RETURNING job, outcome, after;

-- name: tend_workflows_due
SELECT id, sealed_at IS NOT NULL, starting_after, cancelled_at IS NOT NULL,
       coalesce(deadline_at <= {now}, false)
FROM {schema}.workflows WHERE look_at <= {now} ORDER BY look_at LIMIT 10;

-- name: tend_workflows_next
SELECT CASE WHEN EXISTS (SELECT FROM {schema}.workflow_ends) THEN 0
            ELSE (SELECT min(look_at) - {now} FROM {schema}.workflows WHERE look_at IS NOT NULL) END;

-- name: get_workflow
SELECT id, name, created_at, sealed_at, deadline_at, cancelled_at, reason, finished_at, jobs, unfinished, completed,
       cancelled, dead, idempotency_key
FROM {schema}.workflows WHERE id = :workflow;

-- name: list_workflows
SELECT id, name, created_at, sealed_at, deadline_at, cancelled_at, reason, finished_at, jobs, unfinished, completed,
       cancelled, dead, idempotency_key
FROM {schema}.workflows
WHERE (:name::text IS NULL OR name = :name::text)
  AND (:is_finished::integer IS NULL OR (finished_at IS NOT NULL) = (:is_finished::integer = 1)) AND id < :before
ORDER BY id DESC LIMIT :limit;

-- name: find_standing_workflows
-- Beside 100,000 unfinished workflows, 700 of them with a dead job, and a million other jobs: 2 to 7 ms; 45 ms where 100,000
-- jobs wait in one that stands still.
-- Scalar subqueries and OFFSET 0: as joins they were at the planner's mercy, which hashed the tables.
WITH failed AS MATERIALIZED (
    -- Unfinished, and one of their jobs ended badly: few are, and an index holds just these.
    SELECT id, name, unfinished FROM {schema}.workflows
    WHERE finished_at IS NULL AND (dead > 0 OR cancelled > 0)
      AND sealed_at IS NOT NULL AND starting_after IS NULL AND cancelled_at IS NULL AND unfinished <= :most_jobs::bigint
    ORDER BY id LIMIT :most
), standing AS MATERIALIZED (
    -- No job of theirs can go on, and nothing is still to follow from one that has ended.
    SELECT id, name, unfinished FROM failed
    WHERE (SELECT 1 FROM {schema}.jobs AS active
           WHERE active.workflow = failed.id AND active.state IN ('scheduled', 'held', 'ready', 'running')
           LIMIT 1) IS NULL
      AND NOT EXISTS (SELECT FROM {schema}.outbox AS done WHERE done.workflow = failed.id)
      AND (SELECT 1 FROM {schema}.workflow_ends AS left_over, LATERAL (
               SELECT workflow FROM {schema}.workflow_jobs AS node WHERE node.job = left_over.job OFFSET 0) AS node
           WHERE node.workflow = failed.id LIMIT 1) IS NULL
    ORDER BY id LIMIT :limit
)
SELECT standing.id, name, culprit.job, coalesce(culprit.task, (SELECT task FROM {schema}.history WHERE id = culprit.job LIMIT 1)),
       coalesce(culprit.state, 'cancelled'), unfinished
FROM standing, LATERAL (
    -- What the first blocked job waits for, and will for ever: a dead job, or one that lives no more, which must have been
    -- cancelled, because what completed holds nobody.
    SELECT edge.dependency AS job, live.task, live.state
    FROM {schema}.jobs AS waiting, LATERAL (
        SELECT dependency FROM {schema}.workflow_edges
        WHERE dependant = waiting.id AND is_settled = 0 OFFSET 0) AS edge
    LEFT JOIN LATERAL (SELECT task, state FROM {schema}.jobs WHERE id = edge.dependency LIMIT 1) AS live ON true
    WHERE waiting.workflow = standing.id AND waiting.state = 'blocked' AND coalesce(live.state, 'dead') = 'dead'
    ORDER BY waiting.workflow, waiting.id LIMIT 1) AS culprit
ORDER BY standing.id;

-- name: list_workflow_jobs
SELECT node.job, node.name, node.on_failure, node.waits_for, found.*
FROM (SELECT job, name, on_failure, waits_for FROM {schema}.workflow_jobs
      WHERE workflow = :workflow AND job > :after ORDER BY job LIMIT :limit) AS node
LEFT JOIN LATERAL (
    SELECT task, queue, state, attempt, started_at, finished_at, progress, reason FROM {schema}.jobs WHERE id = node.job
    UNION ALL
    SELECT task, queue, state, attempt, started_at, finished_at, progress, reason FROM {schema}.history WHERE id = node.job
    LIMIT 1
) AS found ON true
ORDER BY node.job;

-- name: list_workflow_edges
SELECT dependency, dependant FROM {schema}.workflow_edges WHERE dependant = {ids} ORDER BY dependant, dependency;

-- name: list_workflow_results
SELECT node.name, ended.task, coalesce(node.result, ended.result)
FROM {schema}.workflow_jobs AS node
JOIN LATERAL (SELECT task, result FROM {schema}.history WHERE id = node.job AND state = 'completed' LIMIT 1) AS ended
  ON true
WHERE node.workflow = :workflow AND node.name IS NOT NULL ORDER BY node.job;

-- name: prune_workflows
-- Not what somebody is replaying at this moment.
SELECT id FROM {schema}.workflows
WHERE finished_at <= {now} - :history::bigint AND dead = 0 ORDER BY finished_at LIMIT 20 FOR UPDATE SKIP LOCKED;

-- name: prune_workflows_jobs
DELETE FROM {schema}.workflow_jobs WHERE job = ANY (ARRAY(
    SELECT job FROM {schema}.workflow_jobs WHERE workflow = {ids} ORDER BY job LIMIT :limit))
RETURNING job;

-- name: prune_workflows_edges
DELETE FROM {schema}.workflow_edges WHERE dependant = {ids};

-- name: prune_workflows_remove
DELETE FROM {schema}.workflows WHERE id = {ids}
  AND NOT EXISTS (SELECT FROM {schema}.workflow_jobs WHERE workflow = workflows.id);

-- name: follow_ends
-- The edges that lead away from jobs that ended, ordered so that a later portion can continue.
SELECT edge.dependency, edge.dependant, edge.on_failure
FROM (SELECT job, after FROM json_to_recordset(:ends::json) AS ended (job bigint, after bigint) ORDER BY job) AS ended
CROSS JOIN LATERAL (
    SELECT dependency, dependant, on_failure FROM {schema}.workflow_edges
    WHERE dependency = ended.job AND dependant > ended.after AND is_settled = 0 ORDER BY dependant LIMIT :limit
) AS edge
ORDER BY edge.dependency, edge.dependant LIMIT :limit;

-- name: follow_ends_results
UPDATE {schema}.workflow_jobs AS node
SET result = (SELECT result FROM {schema}.history AS ended WHERE ended.id = node.job LIMIT 1)
WHERE job = {ids} AND is_used = 1;

-- name: follow_ends_settle
-- Here and below, the keys of a joined table are also given as an array, so that its rows are looked up by them. With the
-- join alone, PostgreSQL plans to read the whole table while it is small, and keeps that plan (docs/decisions/0070).
WITH settled AS MATERIALIZED (
    SELECT dependency, dependant FROM json_to_recordset(:edges::json) AS given (dependency bigint, dependant bigint)
)
UPDATE {schema}.workflow_edges AS edge SET is_settled = 1
FROM settled
WHERE edge.dependency = ANY (ARRAY(SELECT dependency FROM settled))
  AND edge.dependant BETWEEN (SELECT min(dependant) FROM settled) AND (SELECT max(dependant) FROM settled)
  AND edge.dependency = settled.dependency AND edge.dependant = settled.dependant;

-- name: follow_ends_count
-- Whoever counts the last dependency makes the dependant ready: the row's lock makes those that end dependencies take turns.
-- The counts are one object that is searched by id: as a joined list, 5,000 ids were compared with each other (500 ms).
WITH less AS MATERIALIZED (
    SELECT array_agg(job) AS jobs, jsonb_object_agg(job, count) AS counts
    FROM json_to_recordset(:counts::json) AS given (job bigint, count bigint)
), locked AS MATERIALIZED (
    SELECT job FROM {schema}.workflow_jobs WHERE job = ANY ((SELECT jobs FROM less)::bigint[]) ORDER BY job FOR UPDATE
)
UPDATE {schema}.workflow_jobs SET waits_for = waits_for - ((SELECT counts FROM less) ->> job::text)::bigint
WHERE job = ANY (ARRAY(SELECT job FROM locked))
RETURNING job, waits_for;

-- name: follow_ends_waiting
SELECT job, results, delay,
       (SELECT flow.cancelled_at IS NOT NULL FROM {schema}.workflows AS flow WHERE flow.id = workflow LIMIT 1)
FROM {schema}.workflow_jobs WHERE job = {ids};

-- name: follow_ends_values
SELECT job, result FROM {schema}.workflow_jobs WHERE job = {ids};

-- name: follow_ends_arguments
SELECT id, args::text FROM {schema}.jobs WHERE id = {ids} AND state = 'blocked';

-- name: follow_ends_release
WITH moment AS MATERIALIZED (SELECT {now} AS now), released AS MATERIALIZED (
    SELECT id, delay, args FROM json_to_recordset(:released::text::json) AS given (id bigint, delay bigint, args text)
)
UPDATE {schema}.jobs AS job
SET run_at = greatest(run_at, now + released.delay),
    args = CASE WHEN released.args IS NULL THEN job.args ELSE released.args::json END, attempt = 0,
    state = CASE WHEN greatest(run_at, now + released.delay) > now THEN 'scheduled' WHEN lane IS NULL THEN 'ready'
                 ELSE 'held' END
FROM moment, released
WHERE job.id = ANY (ARRAY(SELECT id FROM released)) AND job.id = released.id AND state || '' = 'blocked'
RETURNING job.id, state;

-- name: follow_ends_dead
WITH wrong AS MATERIALIZED (SELECT id, reason FROM json_to_recordset(:wrong::json) AS given (id bigint, reason text))
UPDATE {schema}.jobs AS job
SET state = 'dead', finished_at = {now}, error_type = 'InvalidPayload', reason = wrong.reason,
    fingerprint = task || ':results'
FROM wrong
WHERE job.id = ANY (ARRAY(SELECT id FROM wrong)) AND job.id = wrong.id AND state || '' = 'blocked'
RETURNING job.id, workflow;

-- name: follow_ends_doom
WITH doomed AS MATERIALIZED (SELECT id, reason FROM json_to_recordset(:doomed::json) AS given (id bigint, reason text))
UPDATE {schema}.jobs AS job SET reason = doomed.reason
FROM doomed
WHERE job.id = ANY (ARRAY(SELECT id FROM doomed)) AND job.id = doomed.id AND state || '' = 'blocked'
RETURNING job.id;

-- name: follow_ends_doomed_by
WITH doomed AS MATERIALIZED (
    SELECT id, dependency FROM json_to_recordset(:doomed::json) AS given (id bigint, dependency bigint)
)
UPDATE {schema}.workflow_jobs AS node SET cancelled_by = doomed.dependency
FROM doomed WHERE node.job = ANY (ARRAY(SELECT id FROM doomed)) AND node.job = doomed.id;

-- name: follow_ends_revive
SELECT job, workflow FROM {schema}.workflow_jobs WHERE cancelled_by = {ids} ORDER BY job LIMIT :limit;

-- name: follow_ends_revivable
SELECT id, state, workflow FROM {schema}.history WHERE id = {ids} AND state = 'cancelled' ORDER BY id FOR UPDATE;

-- name: follow_ends_gone
-- These were deleted or pruned: the next portion must not find them again.
UPDATE {schema}.workflow_jobs SET cancelled_by = NULL WHERE job = {ids};

-- name: follow_ends_keep
INSERT INTO {schema}.workflow_ends (job, outcome, after)
SELECT job, outcome, after FROM json_to_recordset(:ends::json) AS left_over (job bigint, outcome text, after bigint)
ON CONFLICT (job) DO UPDATE SET outcome = excluded.outcome, after = excluded.after;

-- name: follow_ends_workflows
WITH tally AS MATERIALIZED (
    SELECT * FROM json_to_recordset(:tally::json)
        AS given (workflow bigint, unfinished bigint, completed bigint, cancelled bigint, dead bigint)
), locked AS MATERIALIZED (
    SELECT flow.id, tally.*
    FROM tally JOIN {schema}.workflows AS flow ON flow.id = tally.workflow
    WHERE flow.id = ANY (ARRAY(SELECT workflow FROM tally))
    ORDER BY flow.id FOR UPDATE OF flow
)
UPDATE {schema}.workflows AS flow
SET unfinished = flow.unfinished + locked.unfinished, completed = flow.completed + locked.completed,
    cancelled = flow.cancelled + locked.cancelled, dead = flow.dead + locked.dead,
    finished_at = CASE WHEN flow.unfinished + locked.unfinished > 0 THEN NULL
                       WHEN locked.unfinished < 0 AND flow.sealed_at IS NOT NULL THEN {now} ELSE flow.finished_at END,
    look_at = CASE WHEN flow.unfinished + locked.unfinished > 0 OR flow.sealed_at IS NULL THEN flow.look_at END
FROM locked WHERE flow.id = ANY (ARRAY(SELECT id FROM locked)) AND flow.id = locked.id
RETURNING flow.id, flow.unfinished = 0 AND flow.sealed_at IS NOT NULL,
          flow.dead + flow.cancelled, flow.hooks;

-- name: revive_jobs
-- The ends of its dependencies count it down under this lock, so a later statement, with a newer snapshot, counts right.
SELECT job FROM {schema}.workflow_jobs WHERE job = {ids} ORDER BY job FOR UPDATE;

-- name: revive_jobs_workflows
UPDATE {schema}.workflows SET cancelled_at = NULL, reason = NULL, deadline_at = NULL
WHERE id = {ids} AND (cancelled_at IS NOT NULL OR deadline_at IS NOT NULL);

-- name: revive_jobs_block
UPDATE {schema}.jobs SET state = 'blocked' WHERE id = {ids};

-- name: revive_jobs_unsettle
-- What completed and was deleted since, or pruned, cannot run again: nobody waits for it.
UPDATE {schema}.workflow_edges AS edge SET is_settled = 0
WHERE dependant = {ids} AND is_settled = 1
  AND (dependency = {ids}
       OR :is_whole = 1 AND (EXISTS (SELECT FROM {schema}.jobs WHERE id = edge.dependency)
                             OR EXISTS (SELECT FROM {schema}.history WHERE id = edge.dependency)));

-- name: revive_jobs_gone
SELECT DISTINCT dependency FROM {schema}.workflow_edges AS edge
WHERE dependant = {ids} AND is_settled = 0
  AND NOT EXISTS (SELECT FROM {schema}.jobs WHERE id = edge.dependency)
  AND NOT EXISTS (SELECT FROM {schema}.history WHERE id = edge.dependency)
ORDER BY dependency;

-- name: revive_jobs_count
UPDATE {schema}.workflow_jobs AS node
SET cancelled_by = NULL, waits_for = (SELECT count(*) FROM {schema}.workflow_edges AS edge
                                      WHERE edge.dependant = node.job AND is_settled = 0)
WHERE job = {ids}
RETURNING job, waits_for;
