"""``turnspit dev``: everything that an app needs on a developer's machine, restarted whenever its code changes."""

from pathlib import Path
from typing import Annotated

import typer

from turnspit.cli.dashboard import missing_packages
from turnspit.cli.errors import WrongUsage
from turnspit.cli.loading import app_name
from turnspit.cli.options import AppArgument
from turnspit.cli.output import note
from turnspit.cli.reloading import Program, Reloader
from turnspit.cli.values import parse_duration
from turnspit.cli.worker_options import Concurrency, LogLevel, Queues

__all__ = ["EXAMPLES", "dev"]

EXAMPLES = ("turnspit dev shop.jobs:app", "turnspit dev shop.jobs:app --watch ../library --port 8200")

_LEASE = 5
"""Seconds: short, so that a job whose thread did not end in time soon runs again, with the new code."""

Watch = Annotated[
    list[Path] | None,
    typer.Option(
        "--watch",
        metavar="PATH",
        help="A folder or file to watch; repeat it for more. Default: the working directory.",
    ),
]
Port = Annotated[int, typer.Option("--port", metavar="N", help="The dashboard's port.", min=1, max=65535)]
WithoutDashboard = Annotated[bool, typer.Option("--no-dashboard", help="Run only the worker.")]
Grace = Annotated[
    str, typer.Option("--grace", metavar="TIME", help="How long running jobs may go on when the code has changed.")
]


def dev(
    app: AppArgument = None,
    watch: Watch = None,
    queues: Queues = None,
    concurrency: Concurrency = 10,
    grace: Grace = "2",
    port: Port = 8181,
    no_dashboard: WithoutDashboard = False,
    log_level: LogLevel = "info",
) -> None:
    """Run a worker, with the app's schedules, and the dashboard; restart both whenever a Python file changes.

    For a developer's machine. A job that runs when the code changes may go on for the grace time; then it is handed
    back and runs with the new code. Code that cannot be imported is reported, and tried again at the next change.
    """
    name = app_name(app)
    paths = watch or [Path()]
    for path in paths:
        if not path.exists():
            raise WrongUsage(f"--watch: there is no {path.absolute()}")
    seconds = parse_duration(grace, "--grace").total_seconds()
    words = ["worker", name, f"--concurrency={concurrency}", f"--grace={grace}", f"--log-level={log_level}"]
    words += [f"--lease={_LEASE}"]
    words += [f"--queues={queues}"] if queues is not None else []
    programs = [Program("worker", words, seconds)]
    missing = missing_packages()
    if missing and not no_dashboard:
        note(f"without the dashboard, which needs {', '.join(missing)}: pip install 'turnspit[dashboard]'")
    elif not no_dashboard:
        programs.append(Program("dashboard", ["dashboard", name, f"--port={port}", "--await-store"], 0.0))
    Reloader(programs, paths).run()
