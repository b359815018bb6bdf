"""``turnspit migrate``: the store's schema."""

import sys
from typing import Annotated

import typer

from turnspit.cli.connecting import telling_of_waits
from turnspit.cli.errors import WrongUsage
from turnspit.cli.loading import find_store
from turnspit.cli.options import AsJson, StoreArgument
from turnspit.cli.output import line, print_json
from turnspit.contract import SchemaStatus

__all__ = ["EXAMPLES", "migrate"]

EXAMPLES = (
    "turnspit migrate shop.jobs:app",
    "turnspit migrate sqlite:///shop.db --check",
    "turnspit migrate shop.jobs:app --sql --since 1",
)


def migrate(
    app: StoreArgument = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print all migrations as SQL, and change nothing.")] = False,
    since: Annotated[
        int, typer.Option("--since", metavar="N", min=0, help="With --sql: only the migrations after schema N.")
    ] = 0,
    status: Annotated[bool, typer.Option("--status", help="Show where the schema stands, and change nothing.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Like --status; exit with 1 if a migration is missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the store's schema up to date. Safe to start from many processes at once.

    A store migrates by itself when it is first used, unless the app says migrate=False; this command does it at a
    moment of your choice. --check exits with 1 if a migration is missing, or if the store needs a newer Turnspit.
    """
    if sql + (status or check) > 1:
        raise WrongUsage("--sql prints migrations and takes no --status or --check")
    if since and not sql:
        raise WrongUsage("--since says where --sql begins: give --sql, too")
    target = find_store(app, must_exist=False)
    engine = target.app.engine
    if sql:
        sys.stdout.write(engine.schema_sql(since))
        return
    with telling_of_waits(target.app):
        applied = () if status or check else engine.migrate()
        standing = engine.schema_status()
    if as_json:
        print_json(
            {
                "store": engine.location,
                "version": standing.current,
                "newest": standing.newest,
                "works_with": standing.works_with,
                "applied": list(applied),
                "pending": list(standing.pending),
            }
        )
    else:
        line("store ", (engine.location, "cyan"))
        _say(standing, applied)
    raise typer.Exit(int(check and bool(standing.pending or standing.is_too_new)))


def _say(standing: SchemaStatus, applied: tuple[str, ...]) -> None:
    for name in applied:
        line("applied ", (name, "green"))
    for name in standing.pending:
        line("missing ", (name, "yellow"))
    if standing.is_newer:
        cure = "upgrade turnspit on this machine" if standing.is_too_new else "it works with this release all the same"
        line(f"schema {standing.current} is newer than this Turnspit, which knows {standing.newest}: {cure}")
    else:
        line(f"schema {standing.current} of {standing.newest}" + ("" if standing.pending else ", up to date"))
