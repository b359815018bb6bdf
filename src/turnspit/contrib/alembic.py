"""Turnspit's tables in an application's own Alembic migrations.

A revision calls ``upgrade(op)``; ``include_name`` in ``env.py`` keeps ``alembic revision --autogenerate`` from dropping
the tables, which no model declares. Make the app with ``Turnspit(url, migrate=False)`` then.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from turnspit.engines import open_schema

__all__ = ["include_name", "upgrade"]


def upgrade(op: Any, *, schema: str = "turnspit", since: int = 0) -> None:
    """Bring Turnspit's tables up to date, on the connection and in the transaction of the revision.

    Only what the database does not have yet is applied, so that a later revision can make the same call after an
    upgrade of Turnspit. There is no way back: a ``downgrade()`` has nothing to do.

    :param op: ``alembic.op``.
    :param schema: the PostgreSQL schema that holds the tables.
    :param since: for Alembic's offline mode (``--sql``), which cannot look at the database: the number of the schema
        that the revision before left.
    :raises SchemaMismatch: if a newer release made the tables, and says that this one cannot work with them.

    ::

        from alembic import op
        from turnspit.contrib import alembic as turnspit_alembic

        def upgrade():
            turnspit_alembic.upgrade(op)
    """
    context = op.get_context()
    tables = open_schema(context.dialect.name, schema)
    if context.as_sql:
        for statement in tables.statements(since):
            context.impl.static_output(statement)
        return
    connection = op.get_bind()

    def execute(sql: str) -> Iterable[tuple[Any, ...]]:
        result = connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
        return [tuple(row) for row in result] if result.returns_rows else []

    tables.migrate(execute, connection.engine.url.render_as_string())


def include_name(
    name: str | None, type_: str, parent_names: Mapping[str, str | None], *, schema: str = "turnspit"
) -> bool:
    """For ``context.configure(include_name=...)``: leave Turnspit's tables out of autogenerate.

    An application with a hook of its own calls this one inside it. If the schema has another name, bind it with
    ``functools.partial``.

    ::

        context.configure(connection=connection, target_metadata=metadata, include_name=include_name)
    """
    if type_ == "schema":
        return name != schema
    if type_ == "table":
        return parent_names.get("schema_name") != schema and not (name or "").startswith("turnspit_")
    return True
