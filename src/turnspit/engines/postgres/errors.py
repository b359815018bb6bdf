"""Turns PostgreSQL's errors into Turnspit's, which say what to do, and tells which may be retried."""

import psycopg

from turnspit.errors import EngineError, EngineUnavailable, StoreFrozen, StoreRefused

__all__ = [
    "FROZEN",
    "is_lost",
    "is_misplaced",
    "is_passing",
    "is_unanswered",
    "may_connect_later",
    "one_line",
    "translate",
]

_RETRIED = ("40001", "40P01", "55P03")
"""Serialisation failure, deadlock, lock not available: a retry can succeed."""

_AWAY = ("08", "57P01", "57P02", "57P03", "53300")
"""Connection errors, shutdown, crash, starting up, too many connections."""

FROZEN = "TS001"
"""The SQLSTATE of the error that a frozen store raises (``refuse_change``)."""

_UNREACHED = "cannot be reached: is the server running, and the URL right?"

_REASONS = {
    "42501": "refuses: this user lacks a privilege: GRANT it USAGE on the schema and SELECT, INSERT, UPDATE, DELETE on "
    "its tables, or membership in the role that owns them; `turnspit doctor` looks",
    "25006": "is read-only (a standby, or default_transaction_read_only): connect to a primary that can be written; "
    "`turnspit doctor` says which",
    "42P01": "lacks a table that was there before: somebody dropped it; restore a backup, or see `turnspit doctor`",
    "42883": "lacks a function that was there before: somebody dropped it; restore a backup, or see `turnspit doctor`",
    "3F000": "lacks its schema, which was there before: somebody dropped it; restore a backup, or make an empty one "
    "with `turnspit migrate`",
    "42P07": "has a table of somebody else where one of Turnspit's goes: give the jobs a schema of their own, as with "
    "?schema=jobs in the URL",
    "53100": "has no disk space left: free some, nothing acknowledged was lost",
    "53200": "is out of memory",
    "53300": "takes no more connections: raise max_connections, or use a pooler with poll_only=true in the URL",
    "57P01": "was shut down, or an administrator ended the connection",
    "57P02": "crashed and recovers",
    "57P03": "is starting up or shutting down",
    "55P03": "has a row or a table locked by another transaction for long: end that one, `turnspit doctor` finds it",
    "57014": "cancelled the statement: did an administrator, or is there a statement_timeout? Turnspit needs none: "
    "`ALTER ROLE ... SET statement_timeout = 0`, or put options=-c%20statement_timeout%3D0 into the URL",
    "25P03": "ended the connection: a transaction was left idle for too long",
}

_NO_NAME_SERVER = "Temporary failure in name resolution"
"""As while containers start: the name may be right."""

_REFUSALS = (
    ("password authentication failed", "refuses the user or the password: check the URL"),
    ("no password supplied", "wants a password: put one into the URL, or set PGPASSWORD"),
    ("pg_hba.conf", "does not let this user in from here: see its pg_hba.conf"),
    ("Peer authentication failed", "does not let this user in from here: see its pg_hba.conf"),
    ("does not support SSL", "offers no encryption, which sslmode in the URL asks for: change the one or the other"),
    ("unsupported startup parameter", "is behind a pooler: name the server itself, or add poll_only=true to the URL"),
    ("database", "has no such database: create it with `createdb`, or check the URL"),
    ("role", "has no such user: check the URL"),
    ("too many clients", _REASONS["53300"]),
    ("connection slots", _REASONS["53300"]),
    ("session is read-only", _REASONS["25006"]),
    ("hot standby mode", _REASONS["25006"]),
    ("failed to resolve host", "is unknown: check the host's name in the URL"),
    ("could not translate host name", "is unknown: check the host's name in the URL"),
)
_LATER = (
    "Connection refused",
    "No such file or directory",
    "timeout",
    "timed out",
    "starting up",
    "shutting down",
    "in recovery mode",
    _NO_NAME_SERVER,
    "closed the connection",
    "terminating connection",
    "too many clients",
    "connection slots",
    "Connection reset",
    "No route to host",
    "unreachable",
    "not yet accepting connections",
    "session is read-only",  # target_session_attrs: a standby is not promoted yet
    "hot standby mode",
)


def is_lost(error: BaseException, connection: psycopg.Connection | None) -> bool:
    """Whether the connection is gone: what became of anything sent and not yet answered is unknown."""
    return is_unanswered(error) or (isinstance(error, psycopg.Error) and (connection is None or connection.closed))


def is_unanswered(error: BaseException | None) -> bool:
    """Whether the error comes from the driver, not from the server. ``connection.closed`` would not tell: psycopg may
    not know yet that a socket has failed.
    """
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


def is_misplaced(error: BaseException | None) -> bool:
    """Whether this connection leads to a server that is no longer the primary."""
    return isinstance(error, psycopg.errors.ReadOnlySqlTransaction)


def is_passing(error: BaseException) -> bool:
    """Whether the same transaction can succeed when it is run again."""
    if isinstance(error, psycopg.errors.CheckViolation):
        # The row was to go into the default partition, when another worker attached the partition of its day.
        return "partition constraint" in str(error)
    if isinstance(error, psycopg.errors.UniqueViolation):
        # Another transaction has stored this key meanwhile: now it can be seen (``insert_job_at_once``).
        return error.diag.constraint_name == "unique_keys_pkey"
    return isinstance(error, psycopg.Error) and error.sqlstate in _RETRIED


def may_connect_later(error: psycopg.Error) -> bool:
    """Whether connecting may succeed in a moment: the server is away, not the wrong one."""
    is_away = error.sqlstate is not None and error.sqlstate.startswith(_AWAY)
    return is_away or any(words in str(error) for words in _LATER)


def translate(error: psycopg.Error, location: str) -> EngineError:
    """The error as Turnspit's own, in one line that names the store and the cure."""
    text = one_line(error)
    state = error.sqlstate
    if state is None and isinstance(error, psycopg.OperationalError):
        refusal = _refusal(text)
        if refusal is None:
            return EngineUnavailable(f"store {location} {_UNREACHED} ({text})")
        return StoreRefused(f"store {location} {refusal} ({text})")
    if state == FROZEN:
        return StoreFrozen(f"store {location} {text}")
    reason = _REASONS.get(state or "")
    if state is not None and state.startswith(_AWAY):
        return EngineUnavailable(f"store {location} {reason or _UNREACHED} ({text})")
    if reason is not None:
        kind = EngineUnavailable if state in ("25006", "55P03", "53100", "53200", "57014", "25P03") else EngineError
        return kind(f"store {location} {reason} ({text})")
    return EngineError(f"store {location}: {text}")


def _refusal(text: str) -> str | None:
    if _NO_NAME_SERVER in text:
        return None
    for words, reason in _REFUSALS:
        if words in text and (words not in ("database", "role") or "does not exist" in text):
            return reason
    return None


def one_line(error: BaseException) -> str:
    """What the server or the driver said, in one line."""
    message = (error.diag.message_primary if isinstance(error, psycopg.Error) else None) or str(error)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
