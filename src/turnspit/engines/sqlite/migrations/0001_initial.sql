-- works-with: 1

-- Live jobs and dead letters. Small while work flows: completed and cancelled jobs move to history.
CREATE TABLE turnspit_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used again, even after the newest row moved away
    task TEXT NOT NULL,
    queue TEXT NOT NULL,
    -- Not IN (...): SQLite builds that list anew for each row, which made an insert 50 % slower.
    state TEXT NOT NULL CHECK (state = 'ready' OR state = 'running' OR state = 'scheduled' OR state = 'held'
                               OR state = 'blocked' OR state = 'dead'),
    args TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,            -- all times: microseconds since 1970 UTC
    run_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    worker INTEGER,
    retry TEXT,
    timeout INTEGER,
    tags TEXT,
    metadata TEXT,
    unique_key TEXT,
    lane TEXT,                               -- its limits; NULL if it has none (see limits)
    workflow INTEGER,                        -- NULL if it belongs to none (see workflows)
    is_listed INTEGER NOT NULL DEFAULT 0,   -- 1: held, and added to its lane
    paused_by TEXT,                         -- the pause of a task or a tag for which it is held, as 'task send'
    expires_at INTEGER,                     -- cancelled if it has not begun by then; NULL once it has
    progress REAL,
    progress_message TEXT,
    progress_data TEXT,
    cursor TEXT,                            -- how far its iterations have come: JSON, see context.py
    cancel_requested_at INTEGER,
    reason TEXT,
    error_type TEXT,
    fingerprint TEXT,
    invalid_since INTEGER
);

-- The claim walks this index and nothing else.
CREATE INDEX turnspit_jobs_ready ON turnspit_jobs (queue, priority DESC, id) WHERE state = 'ready';
CREATE INDEX turnspit_jobs_running ON turnspit_jobs (worker) WHERE state = 'running';
CREATE INDEX turnspit_jobs_scheduled ON turnspit_jobs (run_at) WHERE state = 'scheduled';
CREATE INDEX turnspit_jobs_held ON turnspit_jobs (task, lane, paused_by) WHERE state = 'held';
CREATE INDEX turnspit_jobs_held_queue ON turnspit_jobs (queue) WHERE state = 'held';
CREATE INDEX turnspit_jobs_expires ON turnspit_jobs (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('ready', 'held', 'scheduled', 'blocked');
CREATE INDEX turnspit_jobs_paused ON turnspit_jobs (paused_by) WHERE paused_by IS NOT NULL;
CREATE INDEX turnspit_jobs_lane ON turnspit_jobs (lane, priority DESC, id)
    WHERE state = 'held' AND lane IS NOT NULL AND paused_by IS NULL;
-- Jobs that run in order, by their key. The lanes of other jobs do not begin with a quotation mark.
CREATE INDEX turnspit_jobs_ordered ON turnspit_jobs (substr(lane, 1, instr(lane, char(10)) - 1), id)
    WHERE substr(lane, 1, 1) = '"'
      AND (state = 'held' OR state = 'running' OR state = 'scheduled' AND started_at IS NOT NULL);
CREATE INDEX turnspit_jobs_unlisted ON turnspit_jobs (id) WHERE state = 'held' AND lane IS NOT NULL AND NOT is_listed;
CREATE INDEX turnspit_jobs_dead ON turnspit_jobs (id) WHERE state = 'dead';
CREATE INDEX turnspit_jobs_dead_groups ON turnspit_jobs (fingerprint, id) WHERE state = 'dead';
CREATE INDEX turnspit_jobs_dead_finished ON turnspit_jobs (finished_at) WHERE state = 'dead';
CREATE INDEX turnspit_jobs_workflow ON turnspit_jobs (workflow, id) WHERE workflow IS NOT NULL;

-- Completed and cancelled jobs, until they are pruned.
CREATE TABLE turnspit_history (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state = 'completed' OR state = 'cancelled'),
    args TEXT NOT NULL,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER NOT NULL,
    worker INTEGER,
    retry TEXT,
    timeout INTEGER,
    tags TEXT,
    metadata TEXT,
    unique_key TEXT,
    lane TEXT,
    workflow INTEGER,
    progress REAL,
    progress_message TEXT,
    progress_data TEXT,
    cancel_requested_at INTEGER,
    reason TEXT,
    error_type TEXT,
    fingerprint TEXT,
    result TEXT,
    result_until INTEGER
);

CREATE INDEX turnspit_history_cancelled ON turnspit_history (id) WHERE state = 'cancelled';
CREATE INDEX turnspit_history_finished ON turnspit_history (finished_at);
CREATE INDEX turnspit_history_workflow ON turnspit_history (workflow, id) WHERE workflow IS NOT NULL;
CREATE INDEX turnspit_history_result_until ON turnspit_history (result_until) WHERE result_until IS NOT NULL;

-- Attempts that did not complete. The one that completed is the history row itself.
CREATE TABLE turnspit_attempts (
    job INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    started_at INTEGER,
    finished_at INTEGER NOT NULL,
    worker INTEGER,
    error_type TEXT,
    error_message TEXT,
    traceback TEXT,
    PRIMARY KEY (job, fence)
) WITHOUT ROWID;

-- Jobs that were completed in a caller's transaction (finish_job): what is still to be done for them after its commit.
CREATE TABLE turnspit_outbox (
    job INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    worker INTEGER NOT NULL,
    run_time INTEGER NOT NULL,              -- microseconds
    workflow INTEGER,
    PRIMARY KEY (job, fence)
) WITHOUT ROWID;

CREATE TABLE turnspit_logs (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL
);

CREATE INDEX turnspit_logs_job ON turnspit_logs (job, id);

-- Unique keys and the jobs that hold them. Nothing is written here when a job ends: whether it still holds its key is found
-- out when another job wants it, and now and then by the pruner.
CREATE TABLE turnspit_unique_keys (
    key TEXT PRIMARY KEY,
    job INTEGER NOT NULL,
    states TEXT NOT NULL,                   -- the job holds the key while it is in one of these states
    until INTEGER NOT NULL,                 -- and until this moment
    look_at INTEGER NOT NULL                -- when the pruner looks at it
) WITHOUT ROWID;

CREATE INDEX turnspit_unique_keys_look_at ON turnspit_unique_keys (look_at);

-- What is paused: a queue, a task or a tag. No claim takes its jobs.
CREATE TABLE turnspit_pauses (
    kind TEXT NOT NULL CHECK (kind = 'queue' OR kind = 'task' OR kind = 'tag'),
    name TEXT NOT NULL,
    paused_at INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Alerts that last, by the app and the rule that found them.
CREATE TABLE turnspit_alerts (
    app TEXT NOT NULL,
    rule TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,                  -- for example queue email
    since INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (app, rule, kind, subject)
) WITHOUT ROWID;

-- Duties that one worker of the fleet does now and then, and when the next turn is.
CREATE TABLE turnspit_turns (
    name TEXT PRIMARY KEY,
    next_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Recurring jobs, by the name of the app that declares or creates them.
CREATE TABLE turnspit_schedules (
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    task TEXT NOT NULL,
    rule TEXT NOT NULL,                     -- JSON of its times
    job TEXT NOT NULL,                      -- JSON of the job that each tick becomes
    missed TEXT NOT NULL,
    overlap TEXT NOT NULL,
    is_declared INTEGER NOT NULL,
    created_at INTEGER NOT NULL,            -- from here ticks of an unaligned interval are counted
    paused_at INTEGER,
    next_tick INTEGER,
    last_tick INTEGER,
    last_job INTEGER,
    waiting TEXT NOT NULL DEFAULT '[]',     -- JSON list of ticks that wait until an earlier job has ended
    PRIMARY KEY (app, name)
) WITHOUT ROWID;

CREATE INDEX turnspit_schedules_next_tick ON turnspit_schedules (next_tick) WHERE paused_at IS NULL;

-- Each set of schedules that an app has declared, numbered in the order in which they were first seen.
CREATE TABLE turnspit_schedule_releases (
    app TEXT NOT NULL,
    release TEXT NOT NULL,                  -- a digest of the set
    number INTEGER NOT NULL,
    PRIMARY KEY (app, release)
) WITHOUT ROWID;

-- Limits. Jobs with the same limits and keys wait in one lane, because limits treat them alike. All four tables are written
-- by one claim at a time (see engines/verbs/limits.py); other verbs only mark slots as free.
CREATE TABLE turnspit_lanes (
    lane TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    next_at INTEGER,                          -- when it is due; NULL: nothing waits in it
    parked_on TEXT                         -- the concurrency key whose slots are all taken
) WITHOUT ROWID;

CREATE INDEX turnspit_lanes_next_at ON turnspit_lanes (next_at) WHERE parked_on IS NULL AND next_at IS NOT NULL;
CREATE INDEX turnspit_lanes_parked ON turnspit_lanes (parked_on, next_at) WHERE parked_on IS NOT NULL;

-- What a rate key has let through, [[moment, count], ...], as far back as its windows reach.
CREATE TABLE turnspit_limits (
    key TEXT PRIMARY KEY,
    admitted TEXT NOT NULL,
    held_back_until INTEGER NOT NULL,
    look_at INTEGER NOT NULL                  -- from then on nothing of it counts, and the pruner removes it
) WITHOUT ROWID;

CREATE INDEX turnspit_limits_look_at ON turnspit_limits (look_at);

-- One row for each concurrency key of each job that runs.
CREATE TABLE turnspit_slots (
    key TEXT NOT NULL,
    job INTEGER NOT NULL,
    is_free INTEGER NOT NULL DEFAULT 0,    -- 1: its job has ended, and the next claim removes the row
    PRIMARY KEY (job, key)
) WITHOUT ROWID;

CREATE INDEX turnspit_slots_key ON turnspit_slots (key);
CREATE INDEX turnspit_slots_free ON turnspit_slots (job) WHERE is_free;

-- Limits that were changed at run time. They override what tasks declare.
CREATE TABLE turnspit_limit_changes (
    name TEXT PRIMARY KEY,
    allowed INTEGER NOT NULL,
    per INTEGER NOT NULL,                     -- microseconds; 0 for a concurrency limit
    burst INTEGER
) WITHOUT ROWID;

-- Workflows. Of a job's own row only the column `workflow` is about them, so that ends of other jobs pay for nothing else.
CREATE TABLE turnspit_workflows (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    hooks TEXT,                             -- JSON of the jobs to enqueue when it ends
    idempotency_key TEXT,                   -- unique for its name, until its end and for a day
    created_at INTEGER NOT NULL,
    sealed_at INTEGER,                       -- when all its jobs were stored; before, none of them runs
    starting_after INTEGER,                  -- its jobs up to this id were made ready; NULL: all were
    deadline_at INTEGER,
    cancelled_at INTEGER,
    reason TEXT,
    finished_at INTEGER,
    look_at INTEGER,                         -- when there is something to do for it
    jobs INTEGER NOT NULL DEFAULT 0,         -- this and below: counters, so that nobody counts rows
    unfinished INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX turnspit_workflows_name ON turnspit_workflows (name, id);
CREATE INDEX turnspit_workflows_key ON turnspit_workflows (name, idempotency_key, id) WHERE idempotency_key IS NOT NULL;
CREATE INDEX turnspit_workflows_look_at ON turnspit_workflows (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX turnspit_workflows_failed ON turnspit_workflows (id)
    WHERE finished_at IS NULL AND (dead > 0 OR cancelled > 0);
CREATE INDEX turnspit_workflows_finished ON turnspit_workflows (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE turnspit_workflow_jobs (
    job INTEGER PRIMARY KEY,
    workflow INTEGER NOT NULL,
    name TEXT,
    waits_for INTEGER NOT NULL,              -- how many of its dependencies are not settled
    on_failure TEXT NOT NULL,
    delay INTEGER NOT NULL DEFAULT 0,        -- microseconds after the end of its last dependency
    results TEXT,                           -- JSON: which arguments are made of other jobs' results
    is_used INTEGER NOT NULL DEFAULT 0,     -- 1: arguments of other jobs are made of its result
    result TEXT,                            -- kept for these, whatever becomes of history
    cancelled_by INTEGER                     -- the dependency whose failure cancelled it
);

CREATE INDEX turnspit_workflow_jobs_workflow ON turnspit_workflow_jobs (workflow, job);
CREATE UNIQUE INDEX turnspit_workflow_jobs_name ON turnspit_workflow_jobs (workflow, name) WHERE name IS NOT NULL;
CREATE INDEX turnspit_workflow_jobs_cancelled_by ON turnspit_workflow_jobs (cancelled_by) WHERE cancelled_by IS NOT NULL;

CREATE TABLE turnspit_workflow_edges (
    dependency INTEGER NOT NULL,
    dependant INTEGER NOT NULL,
    on_failure TEXT NOT NULL,               -- the dependant's
    is_settled INTEGER NOT NULL DEFAULT 0,  -- 1: the dependant no longer waits for it
    PRIMARY KEY (dependency, dependant)
) WITHOUT ROWID;

CREATE INDEX turnspit_workflow_edges_dependant ON turnspit_workflow_edges (dependant);

-- Ends of jobs with more dependants than one transaction should change, until all of these have been handled.
CREATE TABLE turnspit_workflow_ends (
    job INTEGER PRIMARY KEY,
    outcome TEXT NOT NULL,
    after INTEGER NOT NULL                   -- dependants up to this id have been handled
);

-- One row for each worker process; its heartbeat keeps all its claims alive.
CREATE TABLE turnspit_workers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    queues TEXT,
    tasks TEXT NOT NULL,
    concurrency INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    gapless_since INTEGER NOT NULL,         -- since when each renewal came before the lease ran out
    memory INTEGER,                          -- bytes, at the last renewal
    blocked_since INTEGER,                   -- since when its event loop has not responded; NULL: it responds
    blocked_by TEXT,                         -- the job and the line of code that block its event loop
    asked_to TEXT CHECK (asked_to = 'quiet' OR asked_to = 'stop'),  -- by a person
    stopped_at INTEGER
);

-- Ended attempts per minute, so that no screen or metric counts rows.
CREATE TABLE turnspit_counters (
    minute INTEGER NOT NULL,                -- minutes since 1970
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    run_time INTEGER NOT NULL,              -- microseconds in total
    PRIMARY KEY (minute, queue, task, outcome)
) WITHOUT ROWID;

-- The moves of all jobs to or from another store that this one was part of; the last one counts.
CREATE TABLE turnspit_moves (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL,                    -- the same in both stores
    role TEXT NOT NULL CHECK (role = 'source' OR role = 'target'),
    other TEXT NOT NULL,
    with_history INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    ended_at INTEGER,
    is_filling INTEGER NOT NULL DEFAULT 0,  -- true only inside the mover's own transactions
    positions TEXT NOT NULL DEFAULT '{}'    -- for a target: how far each table has been moved
);
