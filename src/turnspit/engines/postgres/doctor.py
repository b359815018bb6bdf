"""What ``turnspit doctor`` checks in a database."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from turnspit.clock import utc_now
from turnspit.contract.verbs import Row, Statement
from turnspit.engines.migrations import examine_status
from turnspit.engines.postgres.blocks import load, to_pyformat
from turnspit.engines.postgres.errors import translate
from turnspit.engines.postgres.locks import find_lock
from turnspit.engines.postgres.opening import Connection, connect
from turnspit.engines.postgres.schema import PostgresSchema
from turnspit.engines.postgres.settings import Settings
from turnspit.transactions import drive

__all__ = ["diagnose"]

_LONG = 300
_OLD = 10_000_000
"""Age in transactions above which a snapshot counts as old, where its age in seconds is not known."""
_CROWDED = 0.8
_SKEWED = 5.0
_PATIENCE = 3.0
"""Seconds until a notification that must come counts as lost."""
_LOCK_PATIENCE = 2
"""Seconds that a look waits for a lock."""
_MANY_DEAD = 100_000
_SHOWN = 3
_LARGE = 64 * 1024 * 1024
_ENTRY = 100
"""Bytes that an index entry takes at most, roughly."""

Finding = tuple[str, bool, str]


def diagnose(settings: Settings) -> list[Finding]:
    """Each finding: subject, whether it is well, and what it is or what to do."""
    try:
        with closing(connect(settings)) as connection:
            looks = (_version, _writable, _durability, _clock, _connections, _snapshots)
            findings = [look(connection) for look in looks]
            findings.append(_locks(connection, settings.schema))
            for subject, look_into in _INSIDE.items():
                findings += _patiently(connection, subject, partial(look_into, connection, settings.schema))
            return [*findings, _waking(settings, connection)]
    except psycopg.Error as error:
        return [("connection", False, str(translate(error, settings.location)))]


def _patiently(connection: Connection, subject: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a look into the tables finds. It must not wait for the lock that is to be found: ``locks`` says whose."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_PATIENCE}s'")
            return look()
    except psycopg.errors.LockNotAvailable:
        text = f"not looked at: another transaction kept a table locked for {_LOCK_PATIENCE} s, see locks"
        return [(subject, False, text)]
    except psycopg.errors.InsufficientPrivilege as error:
        user, said = connection.info.user, error.diag.message_primary
        text = f"{user} may not look ({said}): GRANT it the role that owns the tables, or USAGE on their schema and"
        return [("privileges", False, f"{text} SELECT, INSERT, UPDATE, DELETE on all tables in it")]


def _one(connection: Connection, statement: str, *params: Any) -> Any:
    row = connection.execute(statement, params or None).fetchone()
    return row[0] if row is not None else None


def _version(connection: Connection) -> Finding:
    version = connection.info.parameter_status("server_version") or ""
    is_well = connection.info.server_version >= 150000
    return "version", is_well, f"PostgreSQL {version}" + ("" if is_well else ": Turnspit needs 15 or newer")


def _writable(connection: Connection) -> Finding:
    if _one(connection, "SELECT pg_is_in_recovery()"):
        return "role", False, "read-only: connect to a primary that can be written"
    if _one(connection, "SHOW default_transaction_read_only") == "on":
        cure = "turn it off where it was set: ALTER DATABASE ... RESET, ALTER ROLE ... RESET, or ALTER SYSTEM RESET"
        return "role", False, f"read-only, because default_transaction_read_only is on: {cure}"
    return "role", True, "can be written"


def _durability(connection: Connection) -> Finding:
    fsync = _one(connection, "SHOW fsync")
    commit = _one(connection, "SHOW synchronous_commit")
    text = f"fsync is {fsync}, synchronous_commit is {commit}"
    return "durability", fsync == "on", text + ("" if fsync == "on" else ": a power cut can damage the database")


def _connections(connection: Connection) -> Finding:
    """How many are in use, and if few are left, by whom most."""
    rows = connection.execute(_CONNECTED).fetchall()
    used = sum(count for _, count in rows)
    most = int(_one(connection, "SHOW max_connections"))
    text = f"{used} of {most} in use"
    if used < most * _CROWDED:
        return "connections", True, text
    shown = ", ".join(f"{count} by {name}" for name, count in rows[:_SHOWN])
    return "connections", False, f"{text} ({shown}): free some, use a pooler, or raise max_connections"


_CONNECTED = """
SELECT coalesce(nullif(application_name, ''), 'user ' || usename, 'others'), count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' GROUP BY 1 ORDER BY 2 DESC, 1
"""


def _clock(connection: Connection) -> Finding:
    """How far this machine's clock is from the server's, to within the time that the question takes."""
    before = utc_now()
    # A number: in some settings of DateStyle a timestamp cannot be read.
    theirs = float(_one(connection, "SELECT extract(epoch FROM clock_timestamp())"))
    took = utc_now() - before
    skew = (before + took / 2).timestamp() - theirs
    if abs(skew) <= _SKEWED + took.total_seconds():
        return "clock", True, "this machine's clock goes as the server's"
    side = "ahead of" if skew > 0 else "behind"
    text = f"this machine's clock is {abs(skew):.0f} s {side} the server's: have both follow a time server"
    return "clock", False, text + "; Turnspit goes by the server's, logs and at=datetime.now() by this one"


def _snapshots(connection: Connection) -> Finding:
    """What keeps vacuum from removing dead rows: an open or prepared transaction, or a replication slot."""
    held = connection.execute(_HELD).fetchone()
    if held is None:
        return "transactions", True, "none holds back vacuum"
    kind, name, seconds, age = held
    is_well = age < _OLD if seconds is None else seconds < _LONG
    since = f"{age:,} transactions behind" if seconds is None else f"{seconds} s old"
    text = f"what holds back vacuum most is {since}: {kind} {name}"
    cure = {
        "pid": f"end it with SELECT pg_terminate_backend({name.partition(' ')[0]})",
        "prepared transaction": f"ROLLBACK PREPARED '{name}', or commit it",
        "replication slot": f"let its standby catch up, or SELECT pg_drop_replication_slot('{name}')",
    }[kind]
    advice = f": it keeps dead rows from being removed, and claims get slower; {cure}"
    return "transactions", is_well, text if is_well else text + advice


_HELD = """
SELECT kind, name, extract(epoch FROM clock_timestamp() - began)::bigint, age FROM (
    SELECT 'pid' AS kind, pid || coalesce(' (' || nullif(application_name, '') || ')', '') AS name, xact_start AS began,
           greatest(age(backend_xmin), age(backend_xid))::bigint AS age
    FROM pg_stat_activity
    WHERE coalesce(backend_xmin, backend_xid) IS NOT NULL AND pid <> pg_backend_pid()
      AND (xact_start IS NOT NULL OR query = '<insufficient privilege>')  -- of another user: its start is hidden
      AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)  -- a vacuum holds back no other
    UNION ALL
    SELECT 'prepared transaction', gid, prepared, age(transaction)::bigint FROM pg_prepared_xacts
    UNION ALL
    SELECT 'replication slot', slot_name, NULL, age(xmin)::bigint FROM pg_replication_slots WHERE xmin IS NOT NULL
) AS held ORDER BY age DESC, began NULLS LAST LIMIT 1
"""


def _locks(connection: Connection, schema: str) -> Finding:
    def run(statement: Statement) -> list[Row]:
        return connection.execute(to_pyformat(statement.sql), statement.params).fetchall()

    found, _ = drive(find_lock(load(schema), schema), run)
    if found is None:
        return "locks", True, "no transaction keeps others waiting"
    return "locks", False, f"{found.holder}: {found.cure}"


def _schema(connection: Connection, schema: str) -> list[Finding]:
    """Whether it is up to date, and whether this user may use it."""
    status = PostgresSchema(schema).read_status(connection.execute)
    subject, is_well, text = examine_status(status)
    if status.current:
        return [(subject, is_well, text), _privileges(connection, schema)]
    others = [name for (name,) in connection.execute(_STORES, [schema]).fetchall()]
    found = f"; schema {' or '.join(others[:_SHOWN])} of this database has one" if others else ""
    return [(subject, is_well, f"{text}{found}")]


_STORES = """
SELECT nspname FROM pg_class AS jobs JOIN pg_namespace ON pg_namespace.oid = jobs.relnamespace
WHERE jobs.relname = 'jobs' AND nspname <> %s AND
    (SELECT count(*) FROM pg_class AS other
     WHERE other.relnamespace = jobs.relnamespace AND other.relname IN ('migrations', 'workers', 'attempts')) = 3
ORDER BY nspname
"""


def _sizes(connection: Connection, schema: str) -> list[Finding]:
    return [*_tables(connection, schema), _indexes(connection, schema)]


def _tables(connection: Connection, schema: str) -> list[Finding]:
    """How large they are, and whether vacuum keeps up with the rows that end."""
    if _one(connection, "SHOW autovacuum") != "on":
        text = "autovacuum is off: turn it on, for claims get slower with every job that has ended"
        return [("tables", False, text)]
    statement = (
        "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = %s"
    )
    total = f"{_size(_one(connection, statement, schema))} with their indexes"
    row = connection.execute(_DEAD_ROWS, [schema, _MANY_DEAD]).fetchone()
    if row is None:
        return [("tables", True, f"{total}; vacuum keeps up")]
    name, dead, live, size, seconds, changed, is_off, is_vacuumed, is_busy, naptime = row
    table = f"{schema}.{name}"
    when = "never vacuumed yet" if seconds is None else f"vacuumed {seconds} s ago"
    text = f"{table} has {dead:,} dead rows beside {live:,} live ones in {_size(size)}, {when}"
    if is_off:
        return [("tables", False, f"{text}: autovacuum is off for it; ALTER TABLE {table} RESET (autovacuum_enabled)")]
    if not _snapshots(connection)[1]:
        return [("tables", False, f"{text}: end what holds them back, see transactions; then autovacuum removes them")]
    if is_vacuumed:
        cure = "a vacuum is at work there"
    elif seconds is not None and changed < dead / 2:
        cure = "that vacuum left them to a transaction that was still open, and the next one removes them"
    elif is_busy:
        cure = f"all workers of autovacuum are at other tables; if that lasts, VACUUM {table}"
    else:
        cure = f"autovacuum looks every {naptime}; if they are still there after five minutes, VACUUM {table}"
    return [("tables", True, total), ("advice", True, f"{text}: {cure}")]


_DEAD_ROWS = """
SELECT stat.relname, n_dead_tup, n_live_tup, pg_total_relation_size(relid),
       extract(epoch FROM clock_timestamp() - greatest(last_vacuum, last_autovacuum))::bigint, n_mod_since_analyze,
       EXISTS (SELECT FROM pg_options_to_table(reloptions)
               WHERE option_name = 'autovacuum_enabled' AND NOT option_value::boolean),
       EXISTS (SELECT FROM pg_stat_progress_vacuum AS vacuum WHERE vacuum.relid = stat.relid),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')
           >= current_setting('autovacuum_max_workers')::integer,
       current_setting('autovacuum_naptime')
FROM pg_stat_user_tables AS stat JOIN pg_class ON pg_class.oid = relid
WHERE schemaname = %s AND n_dead_tup > %s AND n_dead_tup > 5 * n_live_tup ORDER BY n_dead_tup DESC LIMIT 1
"""


def _indexes(connection: Connection, schema: str) -> Finding:
    """An index that was bloated while vacuum did not run: it does not shrink by itself."""
    row = connection.execute(
        "SELECT index.relname, pg_relation_size(index.oid) AS size, greatest(0, index.reltuples)::bigint "
        "FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid "
        "JOIN pg_namespace ON pg_namespace.oid = index.relnamespace "
        "WHERE nspname = %s AND pg_relation_size(index.oid) > %s "
        "AND pg_relation_size(index.oid) > 10 * %s * greatest(0, index.reltuples) ORDER BY size DESC LIMIT 1",
        [schema, _LARGE, _ENTRY],
    ).fetchone()
    if row is None:
        return "indexes", True, "none is much larger than its entries"
    name, size, entries = row
    text = f"{schema}.{name} has {_size(size)} for {entries:,} entries"
    return "indexes", False, f"{text}: REINDEX INDEX CONCURRENTLY {schema}.{name}"


def _size(octets: int) -> str:
    return f"{octets / 1e9:.1f} GB" if octets >= 1e9 else f"{octets / 1e6:.1f} MB"


def _privileges(connection: Connection, schema: str) -> Finding:
    """Whether this user may do all that a worker does."""
    row = connection.execute(_OWNER, [schema]).fetchone()
    if row is None:
        text = f"there is no table {schema}.history: the schema is not whole; restore it from a backup"
        return "privileges", False, text
    user, owner, is_superuser, may_prune = row
    cure = f"make it a member of the role that owns them, {owner}"
    if is_superuser:
        cure = f"their owner is the superuser {owner}: give them to a role of their own, and make {user} a member of it"
    lacking = connection.execute(_LACKING, [schema]).fetchall()
    if lacking:
        kinds = sorted({kind for _, kind in lacking})
        tables = sorted({table for table, _ in lacking})
        shown = ", ".join(tables[:_SHOWN]) + (f" and {len(tables) - _SHOWN} more" if len(tables) > _SHOWN else "")
        text = (
            f"{user} lacks {', '.join(kinds)} on {shown} in {schema}: GRANT {owner} TO {user}, the owner of the tables"
        )
        return "privileges", False, f"{text}, or those alone where it only enqueues"
    if not may_prune:
        text = f"{user} may not make and drop the partitions of {schema}.history: workers that connect as {user} prune"
        return "privileges", True, f"{text} it row by row, which costs more where many jobs end; {cure}"
    return "privileges", True, f"{user} may do all that a worker does"


_OWNER = """
SELECT current_user::text, rolname::text, rolsuper,
       pg_has_role(relowner, 'USAGE') AND has_schema_privilege(relnamespace, 'CREATE')
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace JOIN pg_roles ON pg_roles.oid = relowner
WHERE nspname = %s AND relname = 'history'
"""
_LACKING = """
SELECT relname, kind
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace,
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS kind
WHERE nspname = %s AND relkind IN ('r', 'p') AND NOT relispartition AND (relname <> 'migrations' OR kind = 'SELECT')
  AND NOT has_table_privilege(pg_class.oid, kind)
"""


_INSIDE = {"schema": _schema, "tables": _sizes}
"""The looks that read the store's own tables, which somebody may have locked."""


def _waking(settings: Settings, connection: Connection) -> Finding:
    """Whether a notification arrives: behind a transaction pooler LISTEN succeeds, and nothing ever comes."""
    if settings.poll_only:
        return "waking", True, "poll_only: workers look once a second"
    channel = f"{settings.channel}_doctor_{connection.info.backend_pid}"
    with closing(connect(settings)) as listening:
        listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        connection.execute("SELECT pg_notify(%s, '')", [channel])
        arrived = list(listening.notifies(timeout=_PATIENCE, stop_after=1))
    if arrived:
        return "waking", True, f"LISTEN {settings.channel}; a notification arrives"
    text = f"a notification did not arrive within {_PATIENCE:g} s: is there a pooler in transaction mode in between?"
    return "waking", False, f"{text} Name the server itself in the URL, or add poll_only=true to it"
