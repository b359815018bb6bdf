"""``turnspit migrate``: the store's schema."""

import sys
from typing import Annotated

import typer

from turnspit.cli.errors import WrongUsage
from turnspit.cli.loading import find_store
from turnspit.cli.options import AsJson, StoreArgument
from turnspit.cli.output import line, print_json
from turnspit.errors import EngineError

__all__ = ["EXAMPLES", "migrate"]

EXAMPLES = ("turnspit migrate shop.jobs:app", "turnspit migrate sqlite:///shop.db --check")


def migrate(
    app: StoreArgument = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print all migrations as SQL, and change nothing.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show where the schema stands, and change nothing.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Like --status; exit with 1 if a migration is missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the store's schema up to date. Safe to start from many processes at once.

    A file migrates by itself when it is first used; this command does it at a moment of your choice.
    """
    if sql + (status or check) > 1:
        raise WrongUsage("--sql prints migrations and takes no --status or --check")
    engine = find_store(app, must_exist=False).app.engine
    if sql:
        sys.stdout.write(engine.schema_sql())
        return
    try:
        applied = () if status or check else engine.migrate()
        standing = engine.schema_status()
    except EngineError as error:
        raise WrongUsage(str(error)) from error
    is_wrong = bool(standing.pending) or standing.current > standing.newest
    if as_json:
        print_json(
            {
                "store": engine.location,
                "version": standing.current,
                "newest": standing.newest,
                "applied": list(applied),
                "pending": list(standing.pending),
            }
        )
    else:
        line("store ", (engine.location, "cyan"))
        _say(standing.current, standing.newest, applied, standing.pending)
    raise typer.Exit(int(check and is_wrong))


def _say(current: int, newest: int, applied: tuple[str, ...], pending: tuple[str, ...]) -> None:
    for name in applied:
        line("applied ", (name, "green"))
    for name in pending:
        line("missing ", (name, "yellow"))
    if current > newest:
        line(f"schema {current} is newer than this Turnspit, which knows {newest}: upgrade turnspit on this machine")
    else:
        line(f"schema {current} of {newest}" + ("" if pending else ", up to date"))
