"""The options of ``turnspit worker``."""

from collections.abc import Callable
from typing import Annotated

import typer

from turnspit._runtime.worker.settings import MOST_SLOTS
from turnspit.cli.logs import FORMATS, LEVELS
from turnspit.cli.options import option

__all__ = [
    "Concurrency",
    "Counted",
    "Grace",
    "HealthFile",
    "HealthHost",
    "HealthPort",
    "Heartbeat",
    "Lease",
    "LogFormat",
    "LogLevel",
    "MaxJobs",
    "MaxLag",
    "MaxMemory",
    "MetricsHost",
    "MetricsPort",
    "Processes",
    "Queues",
    "Supervised",
    "UntilEmpty",
]

_MOST = 1000
"""Worker processes of one supervisor: more do not fit on a machine."""
_PROCESSES = "Several processes"
_HEALTH = "Health and metrics"


def _complete(words: tuple[str, ...]) -> Callable[[str], list[str]]:
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


Queues = Annotated[
    str | None,
    typer.Option("--queues", "-q", metavar="A,B", help="The queues it serves. Default: all."),
]
Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency", "-c", metavar="N", min=1, max=MOST_SLOTS, help="How many jobs a process runs at once."
    ),
]
Grace = Annotated[str, option("--grace", "TIME", "How long running jobs may go on after a stop: seconds, or like 2m.")]
Lease = Annotated[str, option("--lease", "TIME", "How long after its last heartbeat other workers take its jobs.")]
Heartbeat = Annotated[
    str | None,
    option("--heartbeat", "TIME", "How often it renews its lease. Default: a third of the lease."),
]
UntilEmpty = Annotated[bool, typer.Option("--until-empty", help="End when nothing is ready or running any more.")]
Processes = Annotated[
    int, option("--processes", "N", "How many worker processes there are.", _PROCESSES, min=1, max=_MOST)
]
MaxJobs = Annotated[
    int | None,
    option(
        "--max-jobs",
        "N",
        "Replace a process that has done about N jobs; those that it runs end first.",
        _PROCESSES,
        min=1,
    ),
]
MaxMemory = Annotated[
    str | None,
    option(
        "--max-memory",
        "SIZE",
        "Replace a process that uses so much memory, like 512MB.",
        _PROCESSES,
    ),
]
HealthFile = Annotated[
    str | None,
    option(
        "--health-file",
        "PATH",
        "A file that is written every 5 s while the worker is live.",
        _HEALTH,
    ),
]
HealthPort = Annotated[
    int | None,
    option(
        "--health-port",
        "N",
        "The port that serves /livez and /readyz over HTTP; 0: a free one.",
        _HEALTH,
        min=0,
        max=65535,
    ),
]
HealthHost = Annotated[str, option("--health-host", "HOST", "The address of that port.", _HEALTH)]
MaxLag = Annotated[
    str,
    option(
        "--max-lag",
        "TIME",
        "How long the event loop, or all slots, may hang before the worker is not live. A supervisor replaces a "
        "process whose slots hang.",
        _HEALTH,
    ),
]
MetricsPort = Annotated[
    int | None,
    option(
        "--metrics-port",
        "N",
        "The port that serves metrics for Prometheus over HTTP; 0: a free one.",
        _HEALTH,
        min=0,
        max=65535,
    ),
]
MetricsHost = Annotated[str, option("--metrics-host", "HOST", "The address of that port.", _HEALTH)]
LogLevel = Annotated[
    str,
    option(
        "--log-level",
        "LEVEL",
        "debug, info (also each job that ended), warning or error.",
        autocompletion=_complete(LEVELS),
    ),
]
LogFormat = Annotated[
    str,
    option("--log-format", "FORMAT", "text, or json: one line of JSON per record.", autocompletion=_complete(FORMATS)),
]
Counted = Annotated[bool, typer.Option("--counted", hidden=True)]
Supervised = Annotated[str | None, typer.Option("--supervised", metavar="SLOT:LINE", hidden=True)]
