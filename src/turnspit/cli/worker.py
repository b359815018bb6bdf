"""``turnspit worker``: claim jobs and run them."""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text

from turnspit import __version__
from turnspit._runtime.worker.failures import describe
from turnspit.app import Turnspit
from turnspit.cli.errors import Failed, StopRequested, WrongUsage
from turnspit.cli.loading import find_app
from turnspit.cli.logs import LEVELS, set_up_logging
from turnspit.cli.options import AppArgument
from turnspit.cli.output import err, note, plain
from turnspit.cli.values import parse_duration, parse_names
from turnspit.errors import EngineError, TurnspitError

__all__ = ["EXAMPLES", "worker"]

EXAMPLES = (
    "turnspit worker shop.jobs:app --queues email,reports --concurrency 20",
    "turnspit worker shop.jobs:app --until-empty",
)


def worker(
    app: AppArgument = None,
    queues: Annotated[
        str | None,
        typer.Option("--queues", "-q", metavar="A,B", help="The queues it serves. Default: all.", show_default=False),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", metavar="N", min=1, help="How many jobs it runs at once.")
    ] = 10,
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="TIME", help="How long running jobs may go on after a stop: seconds, or as 2m."
        ),
    ] = "25",
    lease: Annotated[
        str, typer.Option("--lease", metavar="TIME", help="How long after its last heartbeat others take its jobs.")
    ] = "15",
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when nothing is ready or running any more.")
    ] = False,
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            help="debug, info (also each job that ended), warning or error.",
            autocompletion=lambda incomplete: [level for level in LEVELS if level.startswith(incomplete)],
        ),
    ] = "info",
) -> None:
    """Claim jobs and run them until a signal.

    SIGTERM or Ctrl-C stops it in order: running jobs may go on for the grace time, what has not begun goes back to its
    queue. A second signal hands everything back at once. Either way it exits with 0.
    """
    # Process 1 of a container ignores a signal without a handler: be ready before the app is imported.
    _on_signals(_leave)
    if log_level not in LEVELS:
        raise WrongUsage(f"--log-level is one of {', '.join(LEVELS)}, not {log_level!r}")
    served = parse_names(queues, "--queues")
    grace_time, lease_time = parse_duration(grace, "--grace"), parse_duration(lease, "--lease")
    target = find_app(app)
    if not target.app.tasks:
        raise WrongUsage(f'{target.name} has no tasks: import their modules there, as with app.discover("shop.jobs")')
    set_up_logging(target.app, log_level, coloured=err().is_terminal and not err().no_color)
    try:
        target.app.engine.prepare()
    except EngineError as error:
        raise WrongUsage(str(error)) from error
    _print_banner(target.app, target.name, served, concurrency)
    _work(
        target.app,
        queues=served,
        concurrency=concurrency,
        grace=grace_time,
        until_empty=until_empty,
        lease=lease_time,
    )


def _work(app: Turnspit, **settings: Any) -> None:
    try:
        app.run_worker(**settings)
    except TurnspitError:
        raise
    except Exception as error:
        note(describe(error, "worker").traceback or "")
        raise Failed(f"the worker ended: {type(error).__name__}: {error}") from error
    finally:
        # It has ended in order: a late second signal must not turn that into a death by signal.
        _on_signals(signal.SIG_IGN)


def _on_signals(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise StopRequested


def _print_banner(app: Turnspit, name: str, queues: list[str] | None, concurrency: int) -> None:
    console = err()
    head = Text.assemble(("turnspit", "bold"), f" {__version__} · {plain(name)} · pid {os.getpid()}")
    rows = {
        "store": (app.engine.location, "cyan"),
        "queues": (", ".join(queues) if queues else "all", ""),
        "tasks": (str(len(app.tasks.tasks)), ""),
        "concurrency": (str(concurrency), ""),
    }
    console.print(head, soft_wrap=True)
    for label, (value, style) in rows.items():
        console.print(Text.assemble(f"  {label:<13}", (plain(value), style)), soft_wrap=True)
    console.print(Text("  Ctrl-C stops it in order, a second one at once", style="dim"), soft_wrap=True)
