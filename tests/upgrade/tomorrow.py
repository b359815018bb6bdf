"""Tomorrow's release: today's, with one more migration."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from turnspit.engines.migrations import Migration
from turnspit.engines.postgres import schema as postgres
from turnspit.engines.sqlite import schema as sqlite

COMPATIBLE = {
    sqlite: "ALTER TABLE turnspit_jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';\n"
    "ALTER TABLE turnspit_history ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';\n"
    "CREATE TABLE turnspit_colours (name TEXT PRIMARY KEY);\n",
    postgres: "ALTER TABLE {schema}.jobs ADD COLUMN colour text NOT NULL DEFAULT 'red';\n"
    "ALTER TABLE {schema}.history ADD COLUMN colour text NOT NULL DEFAULT 'red';\n"
    "CREATE TABLE {schema}.colours (name text PRIMARY KEY);\n",
}
INCOMPATIBLE = {
    sqlite: "ALTER TABLE turnspit_jobs RENAME COLUMN queue TO channel;\n",
    postgres: "ALTER TABLE {schema}.jobs RENAME COLUMN queue TO channel;\n",
}
TODAY = sqlite.migrations()[-1].number


@contextmanager
def tomorrow(*, is_compatible: bool = True) -> Iterator[None]:
    """Inside, this process is tomorrow's release."""
    changes = COMPATIBLE if is_compatible else INCOMPATIBLE
    number = TODAY + 1
    works_with = TODAY if is_compatible else number
    with ExitStack() as stack:
        for engine in (sqlite, postgres):
            added = Migration(number, f"{number:04}_colours", works_with, changes[engine])
            known = (*engine.migrations(), added)
            stack.enter_context(mock.patch.object(engine, "migrations", mock.Mock(return_value=known)))
        yield
