"""Numbered migrations, as far as they are the same on every engine.

``migrations/NNNN_name.sql`` begins with ``-- works-with: N``: the oldest schema whose release can still work with a
store after this migration. It is kept with the migration in the store, so that a release that meets a newer schema
knows whether it may go on.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from turnspit.contract import SchemaStatus
from turnspit.contract.verbs import Row

__all__ = ["Execute", "Migration", "Schema", "examine_status", "load_migrations", "refuse_unprepared"]

Execute = Callable[[str], Iterable[Row]]
"""Runs one statement, as it is, on some connection."""

_FILE = re.compile(r"(\d{4})_\w+\.sql")
_TABLE = re.compile(r"^CREATE TABLE (\S+)", re.MULTILINE)
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


@cache
def _tables_made_by(migration: Migration) -> list[str]:
    # Remembered, because on SQLite every call in a caller's own transaction looks whether its tables are there.
    return _TABLE.findall(migration.sql)


class Schema(ABC):
    """The tables of one engine: how they are made and brought up to date, on whatever connection."""

    @abstractmethod
    def migrations(self) -> tuple[Migration, ...]:
        """Every migration, in order."""

    @abstractmethod
    def read_status(self, execute: Execute) -> SchemaStatus:
        """Where the schema stands."""

    @abstractmethod
    def begin(self) -> Iterable[str]:
        """The statements before the first migration of all."""

    @abstractmethod
    def record(self, migration: Migration) -> str:
        """The statement that records in the store that a migration was applied."""

    @abstractmethod
    def statements_of(self, script: str) -> Iterator[str]:
        """The statements of a script, one by one."""

    def named(self, sql: str) -> str:
        """The text with this schema's name in it."""
        return sql

    def migrate(self, execute: Execute, location: str = "") -> tuple[str, ...]:
        """Apply what is missing, inside a transaction that the caller has begun; the names applied.

        :raises SchemaMismatch: if the schema was made by a newer release that this one cannot work with, or
            tables of it are gone.
        """
        status = self.read_status(execute)
        status.refuse_too_new(location)
        status.refuse_incomplete(location)
        if status.pending:
            for statement in self.statements(status.current):
                execute(statement)
        return status.pending

    def statements(self, since: int = 0) -> Iterator[str]:
        """The migrations after version ``since``, statement by statement, for drivers that take no scripts."""
        for step in self.steps(since):
            yield from self.statements_of(step)

    def steps(self, since: int) -> Iterator[str]:
        """The migrations after version ``since`` as scripts, each with the statement that records it."""
        if not since:
            yield "".join(f"{self.named(statement)};\n\n" for statement in self.begin())
        for migration in self.migrations():
            if migration.number > since:
                script = f"-- {migration.name}\n{migration.sql.strip()}\n\n{self.record(migration)};\n"
                yield self.named(script)

    def sql(self, since: int = 0) -> str:
        """The migrations after version ``since`` as one script, as ``turnspit migrate --sql`` prints it."""
        return "".join(self.steps(since))

    def find_status(self, version: int | None, works_with: int | None, tables: Collection[str] = ()) -> SchemaStatus:
        """The status of a store, by what was read from it.

        :param version: the largest number among its migrations; ``None`` if it has none.
        :param works_with: the largest ``works_with`` among them.
        :param tables: the names of the tables that are there.
        """
        known, current = self.migrations(), version or 0
        pending = tuple(migration.name for migration in known if migration.number > current)
        # A newer release may have done away with some.
        applied = [each for each in known if each.number <= current <= known[-1].number]
        made = (self.named(table) for migration in applied for table in _tables_made_by(migration))
        missing = tuple(table for table in made if table not in tables)
        return SchemaStatus(current, known[-1].number, pending, works_with or 0, missing)


def refuse_unprepared(status: SchemaStatus, location: str) -> None:
    """Check the schema at the first use of an app that does not migrate.

    :raises SchemaMismatch: unless its schema is whole and up to date, or newer and said to be compatible.
    """
    status.refuse_too_new(location)
    status.refuse_incomplete(location)
    status.refuse_too_old(location, "and this app was told not to migrate by itself")


def examine_status(status: SchemaStatus) -> tuple[str, bool, str]:
    """What ``turnspit doctor`` says of a schema: its subject, whether it is well, and what it is or what to do."""
    stands = f"version {status.current}"
    if not status.current:
        return "schema", False, "there is no store here: was another one meant? If not, `turnspit migrate` makes it"
    if status.is_newer and not status.is_too_new:
        return "schema", True, f"{stands}, of a newer Turnspit, with which this one still works"
    if status.is_newer:
        return "schema", False, f"{stands} is newer than this Turnspit ({status.newest}): upgrade it"
    if status.missing:
        return "schema", False, f"{stands}, but {status.lacks}"
    if status.pending:
        return "schema", False, f"{stands}; run `turnspit migrate` for {', '.join(status.pending)}"
    return "schema", True, f"{stands}, up to date"
