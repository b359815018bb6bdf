"""Moving everything from one store to another: ``turnspit move``.

Each step can be repeated, and every batch is stored together with the position that it reached. So whatever interrupts
a move, the same call continues where it stopped; and it can be given up until the source has taken its last step.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple
from uuid import uuid4

from turnspit.clock import monotonic, thread_sleep
from turnspit.contract import Engine
from turnspit.contract.verbs import Row
from turnspit.errors import ConfigurationError, EngineError, SchemaMismatch
from turnspit.records import MOVED_TABLES, Column, MovedTable, MoveRecord, Position

__all__ = ["Moved", "MovedRows", "move_store", "thaw_store"]

_FIRST, _BATCH = 100, 2000
_BYTES = 4_000_000
_LOOK_AGAIN = 0.2

Key = list[int | str] | None
Progress = Callable[[str, str, int, int], None]
"""Called with a step (``moving`` or ``verifying``), a table, its rows so far, and its rows altogether."""


class MovedRows(NamedTuple):
    """What was moved of a table, counted and summed up in both stores."""

    table: str
    rows: int
    checksum: str


class Moved(NamedTuple):
    """How a move ended."""

    was_done: bool
    """It was complete before."""
    with_history: bool
    tables: tuple[MovedRows, ...]


def move_store(
    source: Engine, target: Engine, *, with_history: bool, wait: float, progress: Progress = lambda *_: None
) -> Moved:
    """Move live jobs, dead letters and what belongs to them, with their ids and fences.

    :param with_history: also completed and cancelled jobs.
    :param wait: seconds that running jobs may take to end.
    :raises ConfigurationError: if these two cannot be moved into each other; nothing was changed.
    :raises EngineError: if jobs still run after ``wait``, or the two differ at the end.
    :raises InvalidPayload: if the target cannot hold what a foreign writer stored in the source.
    """
    _check_schema(source, target)
    record = source.read(source.get_move)
    begun = _begun(record, source, target)
    if begun is not None and begun.ended_at is not None:
        return _complete(begun, source, target)
    before = _check_target(target, source, begun)
    token = begun.token if begun is not None else uuid4().hex
    with_history = begun.with_history if begun is not None else with_history
    if begun is None:
        _freeze(source, target, token, with_history)
    try:
        _fill(target, source, token, with_history, before)
    except ConfigurationError:
        source.write(source.thaw_store)
        raise
    _seal(source, target, wait)
    tables = [table for table in MOVED_TABLES if with_history or not table.is_history]
    for table in tables:
        _copy(source, target, token, table, with_history, progress)
    frozen = [table for table in tables if table.is_frozen]
    moved = tuple(_verify(source, target, table, with_history, progress) for table in frozen)
    source.write(source.end_move, f"has moved to {target.location}: point the app's URL there")
    target.write(target.open_store, source.read(source.last_ids))
    return Moved(False, with_history, moved)


def thaw_store(source: Engine) -> bool:
    """Give up a move that is not complete: the source is as it was before. ``False`` if there is none."""
    return source.write(source.thaw_store)


def _check_schema(source: Engine, target: Engine) -> None:
    if source.location == target.location:
        raise ConfigurationError(f"{source.location} cannot be moved to itself")
    for engine in (source, target):
        engine.migrate()
        status = engine.schema_status()
        if status.is_newer:
            raise SchemaMismatch(
                f"store {engine.location} has schema {status.current}, but this Turnspit knows {status.newest}, and "
                "only the release that made it knows all that has to be moved: upgrade turnspit on this machine"
            )


def _begun(record: MoveRecord | None, source: Engine, target: Engine) -> MoveRecord | None:
    """The source's move to this target, if it has begun.

    :raises ConfigurationError: if the source takes part in another one.
    """
    if record is None or (record.role == "target" and record.ended_at is not None):
        return None
    if record.role == "target":
        raise ConfigurationError(
            f"{source.location} is itself being filled from {record.other}: complete that move first"
        )
    if record.other != target.location:
        done = "has moved" if record.ended_at is not None else "is being moved"
        cure = "" if record.ended_at is not None else ": complete that move, or give it up with --thaw"
        raise ConfigurationError(f"{source.location} {done} to {record.other}{cure}")
    return record


def _complete(begun: MoveRecord, source: Engine, target: Engine) -> Moved:
    """The source has taken its last step: make sure that the target has, too."""
    record = target.read(target.get_move)
    if record is None or record.token != begun.token:
        raise ConfigurationError(
            f"{source.location} has moved to {target.location}, but what is there now is another store"
        )
    if record.ended_at is None:
        target.write(target.open_store, source.read(source.last_ids))
    return Moved(record.ended_at is not None, begun.with_history, ())


def _check_target(target: Engine, source: Engine, begun: MoveRecord | None) -> MoveRecord | None:
    """The target's record of this move, or of one from the same source that was given up.

    :raises ConfigurationError: if it is not empty, or in another move.
    """
    record = target.read(target.get_move)
    if record is None or (record.role == "target" and record.ended_at is not None):
        filled = [table.name for table in MOVED_TABLES if target.read(target.count_rows, table, True)]
        if filled:
            raise _not_empty(target, filled)
        return None
    if record.role == "source":
        if begun is not None and record.token == begun.token:
            raise ConfigurationError(f"{source.location} and {target.location} are the same store")
        raise ConfigurationError(f"{target.location} cannot be filled: it moves, or has moved, to {record.other}")
    if record.other != source.location:
        raise ConfigurationError(f"{target.location} is being filled from {record.other}: complete that move first")
    return record


def _freeze(source: Engine, target: Engine, token: str, with_history: bool) -> None:
    source.write(source.freeze_store, token, target.location, with_history, _frozen(target))
    same = target.read(target.get_move)
    if same is not None and same.token == token:
        source.write(source.thaw_store)
        raise ConfigurationError(f"{source.location} and {target.location} are the same store")


def _frozen(target: Engine) -> str:
    return (
        f"is frozen while its jobs move to {target.location}: use that store when the move is complete, or give the "
        "move up with `turnspit move --thaw`"
    )


def _fill(target: Engine, source: Engine, token: str, with_history: bool, before: MoveRecord | None) -> None:
    if before is not None and before.token == token:
        return
    if before is not None:
        while target.write(target.empty_store, _BATCH):
            pass
    notice = f"is being filled from {source.location}, and not complete: go on with `turnspit move`"
    filled = target.write(target.fill_store, token, source.location, with_history, notice)
    if filled:
        raise _not_empty(target, filled)


def _not_empty(target: Engine, tables: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{target.location} is not empty (it has rows in {', '.join(tables)}): ids are kept, so a store can only be "
        "moved into a new one"
    )


def _seal(source: Engine, target: Engine, wait: float) -> None:
    """Close the source to every change, once nothing runs there."""
    until = monotonic() + wait
    while running := source.write(source.seal_store, _frozen(target)):
        if monotonic() >= until:
            jobs = ", ".join(f"{job} ({task}, worker {worker})" for job, task, worker in running[:5])
            more = "" if len(running) <= 5 else " and more"
            raise EngineError(
                f"store {source.location} is frozen, but jobs still run: {jobs}{more}; move again when they have "
                "ended, with a longer --wait, or give the move up with --thaw"
            )
        thread_sleep(_LOOK_AGAIN)


def _copy(
    source: Engine, target: Engine, token: str, table: MovedTable, with_history: bool, progress: Progress
) -> None:
    columns = source.read(source.list_columns, table)
    theirs = target.read(target.list_columns, table)
    if [column.name for column in columns] != [column.name for column in theirs]:
        raise SchemaMismatch(f"{table.name} has other columns at {source.location} than at {target.location}")
    record = target.read(target.get_move)
    done, key = (record.positions if record is not None else {}).get(table.name, Position(0, None))
    total = source.read(source.count_rows, table, with_history)
    progress("moving", table.name, done, total)
    for rows, last in _batches(source, table, columns, with_history, key):
        if not target.write(target.write_rows, token, table, theirs, key, rows):
            raise EngineError(f"store {target.location} is being filled by another `turnspit move`: let that one go on")
        done, key = done + len(rows), last
        progress("moving", table.name, done, total)


def _verify(source: Engine, target: Engine, table: MovedTable, with_history: bool, progress: Progress) -> MovedRows:
    ours, theirs = (_sum_up(engine, table, with_history, progress) for engine in (source, target))
    if ours != theirs:
        raise EngineError(
            f"{table.name} differs: {ours.rows} rows with the checksum {ours.checksum} at {source.location}, "
            f"{theirs.rows} rows with {theirs.checksum} at {target.location}; nothing was lost: give the move up with "
            "--thaw, and move again"
        )
    return ours


def _sum_up(engine: Engine, table: MovedTable, with_history: bool, progress: Progress) -> MovedRows:
    """The number of rows and the sum of their hashes, which does not depend on how an engine orders text."""
    columns = engine.read(engine.list_columns, table)
    total = engine.read(engine.count_rows, table, with_history)
    count, checksum = 0, 0
    for rows, _ in _batches(engine, table, columns, with_history, None):
        for row in _without_booleans(rows):
            checksum += int.from_bytes(blake2b(repr(row).encode(), digest_size=8).digest())
        count += len(rows)
        progress("verifying", table.name, count, total)
    return MovedRows(table.name, count, f"{checksum % 2**64:016x}")


def _without_booleans(rows: list[Row]) -> Iterable[Row]:
    """SQLite has no booleans: ``True`` on PostgreSQL is 1 there."""
    if not any(isinstance(value, bool) for value in rows[0]):
        return rows
    return (tuple(int(value) if isinstance(value, bool) else value for value in row) for row in rows)


def _batches(
    engine: Engine, table: MovedTable, columns: Sequence[Column], with_history: bool, after: Key
) -> Iterator[tuple[list[Row], Key]]:
    """The rows of a table after a key, in batches of a few MB, each with its last key."""
    names = [column.name for column in columns]
    places = [names.index(name) for name in table.key]
    limit = _FIRST
    while rows := engine.read(engine.read_rows, table, columns, with_history, after, limit):
        after = [rows[-1][place] for place in places]
        yield rows, after
        size = sum(len(value) for row in rows for value in row if type(value) is str)
        limit = max(1, min(_BATCH, limit * 2, limit * _BYTES // max(size, 1)))
