"""``turnspit move``: everything to another store."""

from contextlib import nullcontext
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from turnspit.cli.errors import WrongUsage
from turnspit.cli.loading import find_store
from turnspit.cli.options import AsJson
from turnspit.cli.output import err, line, print_json
from turnspit.cli.values import parse_duration
from turnspit.operations import Moved, move_store, thaw_store

__all__ = ["EXAMPLES", "move"]

EXAMPLES = (
    "turnspit move sqlite:///shop.db postgresql://shop@db.example.com/shop",
    "turnspit move sqlite:///shop.db sqlite:////srv/shop.db --history",
    "turnspit move sqlite:///shop.db --thaw",
)


def move(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The app, or the store like sqlite:///shop.db, to move.")
    ],
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The store to fill: new and empty.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Also move completed and cancelled jobs.")] = False,
    wait: Annotated[
        str,
        typer.Option("--wait", metavar="TIME", help="How long to wait for running jobs to end: seconds, or like 2m."),
    ] = "60",
    thaw: Annotated[
        bool, typer.Option("--thaw", help="Give up a move that is not complete, and use SOURCE as before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move everything to another store: jobs, dead letters, attempts and log lines, with their ids.

    From then on nothing is enqueued or claimed in SOURCE; running jobs may end. If the move is interrupted, the same
    command continues it. At the end the rows and checksums of both stores are compared; then TARGET opens, and SOURCE
    stays closed.
    """
    if thaw:
        _thaw(source, target, as_json)
        return
    if target is None:
        raise WrongUsage("where to? Name the new store, as in postgresql://shop@db.example.com/shop")
    patience = parse_duration(wait, "--wait").total_seconds()
    old, new = find_store(source).app.engine, find_store(target, must_exist=False).app.engine
    bars = _bars()
    with nullcontext() if bars.disable else bars:  # before rich 14.3 a disabled one wrote an empty line
        tasks = {}

        def show(step: str, table: str, done: int, total: int) -> None:
            name = f"{step} {table}"
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        moved = move_store(old, new, with_history=history, wait=patience, progress=show)
    _say(moved, old.location, new.location, as_json)


def _thaw(source: str, target: str | None, as_json: bool) -> None:
    if target is not None:
        raise WrongUsage(
            "--thaw takes only SOURCE: the other store stays closed, and the next move into it removes what it has"
        )
    app = find_store(source).app
    thawed = thaw_store(app.engine)
    if not thawed:
        raise WrongUsage(f"{app.engine.location} is in no move that could be given up")
    if as_json:
        print_json({"source": app.engine.location, "thawed": True})
    else:
        line("thawed ", (app.engine.location, "cyan"))


def _bars() -> Progress:
    console = err()
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _say(moved: Moved, source: str, target: str, as_json: bool) -> None:
    if as_json:
        tables = {each.table: {"rows": each.rows, "checksum": each.checksum} for each in moved.tables}
        document = {"source": source, "target": target, "history": moved.with_history}
        print_json(document | {"was_done": moved.was_done, "tables": tables})
        return
    line("from ", (source, "cyan"))
    line("to   ", (target, "cyan"))
    widest = max((len(each.table) for each in moved.tables), default=0)
    for each in moved.tables:
        line(f"{each.table:<{widest}} {each.rows:>11,} rows, checksum {each.checksum} in both")
    line(
        "it was complete before"
        if moved.was_done
        else "moved: point the app's URL at the new store, and start its workers"
    )
