-- Moving everything to another store. {table}, {event}, {key}, {columns}, {marks}, {which} and {notice} are written in by
-- engines/verbs/moves.py.

-- name: get_move
SELECT token, role, other, with_history, ended_at, positions FROM turnspit_moves ORDER BY id DESC LIMIT 1;

-- name: freeze_store
INSERT INTO turnspit_moves (token, role, other, with_history, begun_at)
VALUES (:token, :role, :other, :with_history, {now});

-- name: freeze_store_refuse
-- The text of RAISE() must be a literal. is_filling is true only inside the mover's own transactions.
CREATE TRIGGER turnspit_frozen_{table}_{event} BEFORE {event} ON turnspit_{table}
WHEN NOT EXISTS (SELECT 1 FROM turnspit_moves WHERE is_filling)
BEGIN
    SELECT RAISE(ABORT, 'turnspit: {notice}');
END;

-- name: freeze_store_claims
-- Claims find nothing, instead of failing, because they share their transaction with finishes.
CREATE TRIGGER turnspit_frozen_claims BEFORE UPDATE OF state ON turnspit_jobs
WHEN NEW.state = 'running' AND OLD.state <> 'running'
BEGIN
    SELECT RAISE(IGNORE);
END;

-- name: seal_store
SELECT job.id, job.task, job.worker
FROM turnspit_workers AS live
CROSS JOIN turnspit_jobs AS job INDEXED BY turnspit_jobs_running ON job.state = 'running' AND job.worker = live.id
WHERE live.stopped_at IS NULL AND live.expires_at > {now}
ORDER BY job.id LIMIT 100;

-- name: thaw_store_allow
DROP TRIGGER IF EXISTS turnspit_frozen_{table}_{event};

-- name: thaw_store_claims
DROP TRIGGER IF EXISTS turnspit_frozen_claims;

-- name: thaw_store
DELETE FROM turnspit_moves WHERE token = :token AND role = 'source';

-- name: end_move
UPDATE turnspit_moves SET ended_at = {now} WHERE ended_at IS NULL AND role = :role;

-- name: fill_store_look
SELECT 1 FROM turnspit_{table} LIMIT 1;

-- name: empty_store
DELETE FROM turnspit_{table} WHERE ({key}) IN (SELECT {key} FROM turnspit_{table} LIMIT :limit) RETURNING 1;

-- name: empty_store_end
DELETE FROM turnspit_moves WHERE ended_at IS NULL AND role = 'target';

-- name: list_columns
SELECT name, type FROM pragma_table_info('turnspit_' || :table) ORDER BY name;

-- name: count_rows
SELECT count(*) FROM turnspit_{table} AS moved WHERE {which};

-- name: read_rows
SELECT {columns} FROM turnspit_{table} AS moved WHERE {which} ORDER BY {key} LIMIT :limit;

-- name: read_rows_of_all
1;

-- name: read_rows_of_live
EXISTS (SELECT 1 FROM turnspit_jobs AS live WHERE live.id = moved.job);

-- name: write_rows
UPDATE turnspit_moves SET is_filling = 0, positions = :positions WHERE token = :token AND role = 'target';

-- name: write_rows_begin
UPDATE turnspit_moves SET is_filling = 1 WHERE role = 'target' AND ended_at IS NULL;

-- name: write_rows_end
UPDATE turnspit_moves SET is_filling = 0 WHERE is_filling;

-- name: write_rows_insert
INSERT INTO turnspit_{table} ({columns}) VALUES ({marks});

-- name: last_ids
SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'turnspit_{table}'), 0),
           coalesce((SELECT max(id) FROM turnspit_{table}), 0));

-- name: open_store_forget
DELETE FROM sqlite_sequence WHERE name = 'turnspit_{table}';

-- name: open_store
INSERT INTO sqlite_sequence (name, seq) VALUES ('turnspit_{table}', :last);

-- name: open_store_workers
-- Workers still work on the old store; their rows are here only because attempts name them.
UPDATE turnspit_workers SET stopped_at = {now} WHERE stopped_at IS NULL;
