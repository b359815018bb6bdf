"""Turnspit's tables in a Django project's own migrations."""

from collections.abc import Iterable
from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation

from turnspit.engines import open_schema

__all__ = ["MigrateTurnspit"]


class MigrateTurnspit(Operation):
    """Brings Turnspit's tables up to date in a Django migration. Make the app with ``Turnspit(migrate=False)`` then.

    Only what the database does not have yet is applied, so that a later migration can use the same operation after an
    upgrade of Turnspit. Its reverse does nothing.

    :param schema: the PostgreSQL schema that holds the tables.
    :param since: for ``sqlmigrate``, which does not look at the database: the number of the schema that the migration
        before left.

    ::

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [MigrateTurnspit()]
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, *, schema: str = "turnspit", since: int = 0) -> None:
        self.schema = schema
        self.since = since

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Do nothing: Turnspit's tables are no models."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Apply what is missing, in the migration's transaction.

        :raises SchemaMismatch: if a newer release made the tables, and says that this one cannot work with them.
        """
        connection = schema_editor.connection
        if not router.allow_migrate(connection.alias, app_label):
            return
        tables = open_schema(connection.vendor, self.schema)
        if schema_editor.collect_sql:
            for statement in tables.statements(self.since):
                schema_editor.execute(statement, None)
            return

        def execute(sql: str) -> Iterable[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description is not None else []

        tables.migrate(execute, str(connection.settings_dict["NAME"]))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Do nothing: jobs are never dropped."""

    def describe(self) -> str:
        """What ``migrate --plan`` shows."""
        return "Bring Turnspit's tables up to date"
