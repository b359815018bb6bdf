-- Moving everything to another store. {table}, {event}, {key}, {columns}, {types}, {which} and {notice} are written in by
-- engines/verbs/moves.py.

-- name: get_move
SELECT token, role, other, with_history, ended_at, positions FROM {schema}.moves ORDER BY id DESC LIMIT 1;

-- name: freeze_store
INSERT INTO {schema}.moves (token, role, other, with_history, begun_at)
VALUES (:token, :role, :other, :with_history, {now});

-- name: freeze_store_refuse
CREATE TRIGGER frozen_{event} BEFORE {event} ON {schema}.{table}
FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change('{notice}');

-- name: freeze_store_claims
-- Claims find nothing, instead of failing, because they share their transaction with finishes.
CREATE TRIGGER frozen_claims BEFORE UPDATE OF state ON {schema}.jobs
FOR EACH ROW WHEN (NEW.state = 'running' AND OLD.state <> 'running') EXECUTE FUNCTION {schema}.skip_row();

-- name: seal_store
SELECT job.id, job.task, job.worker
FROM {schema}.jobs AS job JOIN {schema}.workers AS live ON live.id = job.worker
WHERE job.state = 'running' AND live.stopped_at IS NULL AND live.expires_at > {now}
ORDER BY job.id LIMIT 100;

-- name: thaw_store_allow
DROP TRIGGER IF EXISTS frozen_{event} ON {schema}.{table};

-- name: thaw_store_claims
DROP TRIGGER IF EXISTS frozen_claims ON {schema}.jobs;

-- name: thaw_store
DELETE FROM {schema}.moves WHERE token = :token AND role = 'source';

-- name: end_move
UPDATE {schema}.moves SET ended_at = {now} WHERE ended_at IS NULL AND role = :role;

-- name: fill_store_look
SELECT 1 FROM {schema}.{table} LIMIT 1;

-- name: empty_store
DELETE FROM {schema}.{table} WHERE ({key}) IN (SELECT {key} FROM {schema}.{table} LIMIT :limit) RETURNING 1;

-- name: empty_store_end
DELETE FROM {schema}.moves WHERE ended_at IS NULL AND role = 'target';

-- name: list_columns
SELECT column_name::text, data_type::text FROM information_schema.columns
WHERE table_schema = '{schema}' AND table_name = :table ORDER BY column_name COLLATE "C";

-- name: count_rows
SELECT count(*) FROM {schema}.{table} AS moved WHERE {which};

-- name: read_rows
SELECT {columns} FROM {schema}.{table} AS moved WHERE {which} ORDER BY {key} LIMIT :limit;

-- name: read_rows_of_all
true;

-- name: read_rows_of_live
EXISTS (SELECT FROM {schema}.jobs AS live WHERE live.id = moved.job);

-- name: write_rows
UPDATE {schema}.moves SET is_filling = false, positions = :positions WHERE token = :token AND role = 'target';

-- name: write_rows_begin
UPDATE {schema}.moves SET is_filling = true WHERE role = 'target' AND ended_at IS NULL;

-- name: write_rows_end
UPDATE {schema}.moves SET is_filling = false WHERE is_filling;

-- name: write_rows_insert
INSERT INTO {schema}.{table} ({names})
SELECT {columns} FROM json_to_recordset(:rows::json) AS moved ({types});

-- name: write_rows_partitions
-- Makes the partitions for the days of moved history first, so that pruning can drop them whole later.
SELECT {schema}.make_partitions(day * 86400000000)
FROM (SELECT DISTINCT finished_at / 86400000000 AS day FROM json_to_recordset(:rows::json) AS moved (finished_at bigint))
AS days;

-- name: last_ids
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('{schema}.{table}', 'id')::regclass), 0);

-- name: open_store_forget
SELECT 1;

-- name: open_store
SELECT setval(pg_get_serial_sequence('{schema}.{table}', 'id'), :last);

-- name: open_store_workers
-- Workers still work on the old store; their rows are here only because attempts name them.
UPDATE {schema}.workers SET stopped_at = {now} WHERE stopped_at IS NULL;
