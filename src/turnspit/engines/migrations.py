"""Numbered migrations, and what is the same about them on every engine.

``migrations/NNNN_name.sql`` begins with ``-- works-with: N``: the oldest schema whose release can still work with a
store after this migration. It is kept with the migration in the store, so that a release that meets a newer schema
knows whether it may go on.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from turnspit.contract import SchemaStatus

__all__ = ["Migration", "find_status", "load_migrations", "refuse_unprepared", "steps_of"]

_FILE = re.compile(r"(\d{4})_\w+\.sql")
_WORKS_WITH = re.compile(r"-- works-with: (\d+)\b")


class Migration(NamedTuple):
    """One step of a schema."""

    number: int
    name: str
    works_with: int
    """The oldest schema whose release can work with a store after this migration."""
    sql: str


@cache
def load_migrations(package: str) -> tuple[Migration, ...]:
    """The migrations of an engine's package, in order.

    :raises ValueError: if one does not say what it works with.
    """
    found = []
    for entry in files(package).joinpath("migrations").iterdir():
        name = _FILE.fullmatch(entry.name)
        if name is not None:
            found.append(_read(int(name[1]), Path(entry.name).stem, entry.read_text(encoding="utf-8")))
    return tuple(sorted(found))


def _read(number: int, name: str, sql: str) -> Migration:
    works_with = _WORKS_WITH.match(sql)
    if works_with is None or not 1 <= int(works_with[1]) <= number:
        raise ValueError(
            f"{name}.sql begins with `-- works-with: N`: the oldest schema, from 1 to {number}, whose release can work "
            f"with the store after this migration ({number - 1} if it only adds what older code does not see)"
        )
    return Migration(number, name, int(works_with[1]), sql)


def find_status(known: Sequence[Migration], applied: tuple[int | None, int | None]) -> SchemaStatus:
    """Where a store stands.

    :param applied: the largest version and the largest ``works_with`` that the store tells of.
    """
    current, works_with = applied
    pending = tuple(migration.name for migration in known if migration.number > (current or 0))
    return SchemaStatus(current or 0, known[-1].number, pending, works_with or 0)


def refuse_unprepared(status: SchemaStatus, location: str) -> None:
    """The first use of an app that does not migrate.

    :raises SchemaMismatch: unless its schema is up to date, or newer and said to be compatible.
    """
    status.refuse_too_new(location)
    status.refuse_too_old(location, "and this app was told not to migrate by itself")


def steps_of(
    begin: Iterable[str], known: Sequence[Migration], record: Callable[[Migration], str], since: int
) -> Iterator[str]:
    """The migrations after version ``since`` as scripts, each with the statement that records it.

    :param begin: the statements before the first of all.
    """
    if not since:
        yield "".join(f"{statement};\n\n" for statement in begin)
    for migration in known:
        if migration.number > since:
            yield f"-- {migration.name}\n{migration.sql.strip()}\n\n{record(migration)};\n"
