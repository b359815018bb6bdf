"""``turnspit worker``: claim jobs and run them."""

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import typer
from rich.text import Text

from turnspit import __version__
from turnspit._runtime.health import Health
from turnspit._runtime.link import Counts
from turnspit._runtime.process import run_worker_process
from turnspit._runtime.supervisor import Supervisor, SupervisorSettings
from turnspit._runtime.worker.failures import describe
from turnspit._runtime.worker.settings import WorkerSettings, make_settings
from turnspit.app import Turnspit
from turnspit.cli.connecting import telling_of_waits
from turnspit.cli.errors import Failed, StopRequested, WrongUsage
from turnspit.cli.launching import command_for
from turnspit.cli.loading import Target, find_app
from turnspit.cli.logs import FORMATS, LEVELS, set_up_logging
from turnspit.cli.options import AppArgument
from turnspit.cli.output import err, note, plain, print_banner
from turnspit.cli.values import check_word, parse_duration, parse_names, parse_size
from turnspit.cli.worker_options import (
    Concurrency,
    Counted,
    Grace,
    HealthFile,
    HealthHost,
    HealthPort,
    Heartbeat,
    Lease,
    LogFormat,
    LogLevel,
    MaxJobs,
    MaxLag,
    MaxMemory,
    MetricsHost,
    MetricsPort,
    Processes,
    Queues,
    Supervised,
    UntilEmpty,
)
from turnspit.errors import EngineError, TurnspitError
from turnspit.telemetry.prometheus import Metrics
from turnspit.telemetry.recorder import recorder_of
from turnspit.telemetry.totals import Totals

__all__ = ["EXAMPLES", "worker"]

logger = logging.getLogger("turnspit")

EXAMPLES = (
    "turnspit worker shop.jobs:app --queues email,reports --concurrency 20",
    "turnspit worker shop.jobs:app --processes 4 --max-memory 512MB",
    "turnspit worker shop.jobs:app --until-empty",
)


def worker(
    app: AppArgument = None,
    queues: Queues = None,
    concurrency: Concurrency = 10,
    processes: Processes = 1,
    grace: Grace = "25",
    lease: Lease = "15",
    heartbeat: Heartbeat = None,
    until_empty: UntilEmpty = False,
    max_jobs: MaxJobs = None,
    max_memory: MaxMemory = None,
    health_file: HealthFile = None,
    health_port: HealthPort = None,
    health_host: HealthHost = "127.0.0.1",
    max_lag: MaxLag = "30",
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    log_level: LogLevel = "info",
    log_format: LogFormat = "text",
    counted: Counted = False,
    supervised: Supervised = None,
) -> None:
    """Claim jobs and run them until a signal stops it.

    SIGTERM or Ctrl-C stops it in order: running jobs may go on for the grace time, and jobs that have not begun go back
    to their queue. A second signal hands everything back at once. Either way it exits with 0.

    With --processes, --max-jobs or --max-memory a supervisor starts worker processes and replaces those that end;
    SIGHUP replaces all of them, one after the other. It exits with 1 if one had to be killed at the end.
    """
    # Process 1 of a container ignores a signal without a handler: be ready before the app is imported.
    _on_signals(_leave)
    settings = _settings(queues, concurrency, grace, until_empty, lease, heartbeat)
    health = Health(health_file, health_port, health_host, parse_duration(max_lag, "--max-lag"))
    several = SupervisorSettings(
        processes=processes,
        grace=settings.grace,
        lease=settings.lease,
        until_empty=until_empty,
        max_jobs=max_jobs,
        max_memory=None if max_memory is None else parse_size(max_memory, "--max-memory"),
        health=health,
    )
    target = _prepare(app, log_level, log_format, supervised)
    if supervised is None and log_format == "text":
        _print_banner(target, settings, processes if several.are_wanted else None)
    if supervised is None and several.are_wanted:
        given = {"queues": queues, "concurrency": concurrency, "grace": grace, "lease": lease, "heartbeat": heartbeat}
        given |= {"max-lag": max_lag, "log-level": log_level, "log-format": log_format}
        command = _command(target.name, given, {"until-empty": until_empty, "counted": metrics_port is not None})
        raise typer.Exit(_supervise(target.app, several, command, metrics_port, metrics_host))
    with _showing_metrics(target.app, metrics_port, metrics_host):
        _run(target.app, settings, health, _line_of(supervised), counted=counted)


def _settings(
    queues: str | None, concurrency: int, grace: str, until_empty: bool, lease: str, heartbeat: str | None
) -> WorkerSettings:
    return make_settings(
        parse_names(queues, "--queues"),
        concurrency,
        parse_duration(grace, "--grace"),
        until_empty,
        parse_duration(lease, "--lease"),
        None if heartbeat is None else parse_duration(heartbeat, "--heartbeat"),
    )


def _run(app: Turnspit, settings: WorkerSettings, health: Health, line: socket.socket | None, *, counted: bool) -> None:
    counts = _counts_of(app) if counted else None
    parts = app.worker_parts()
    _work(lambda: run_worker_process(parts, settings, health=health, supervisor=line, counts=counts))


def _supervise(
    app: Turnspit, settings: SupervisorSettings, command: Callable[[int, int], list[str]], port: int | None, host: str
) -> int:
    app.close()
    totals = Totals()
    with _showing_metrics(app, port, host, totals):
        return _work(Supervisor(settings, command, totals).run)


@contextmanager
def _showing_metrics(app: Turnspit, port: int | None, host: str, totals: Totals | None = None) -> Iterator[None]:
    """Serve metrics inside the block, if a port was given.

    :param totals: the counts of other processes, in place of this one's.
    """
    if port is None:
        yield
        return
    taken, stop = Metrics(app, counts=totals).serve(port, host)
    logger.info("metrics are shown at http://%s:%s/metrics", host, taken)
    try:
        yield
    finally:
        stop()


def _counts_of(app: Turnspit) -> Counts:
    recorder = recorder_of(app)
    return lambda: recorder.series


def _prepare(app: str | None, log_level: str, log_format: str, supervised: str | None) -> Target:
    """The app, once logging is set up and the store is there, with its schema up to date."""
    check_word(log_level, LEVELS, "--log-level")
    check_word(log_format, FORMATS, "--log-format")
    target = find_app(app)
    if not target.app.tasks:
        raise WrongUsage(
            f'{target.name} has no tasks: import their modules there, as with app.discover("shop.jobs"), '
            "and include each Blueprint, as with app.include(reports)"
        )
    set_up_logging(
        target.app,
        log_level,
        coloured=err().is_terminal and not err().no_color,
        process=None if supervised is None else supervised.partition(":")[0],
        as_json=log_format == "json",
    )
    try:
        with telling_of_waits(target.app):
            target.app.engine.prepare()
    except EngineError as error:
        raise WrongUsage(str(error)) from error
    return target


def _line_of(supervised: str | None) -> socket.socket | None:
    if supervised is None:
        return None
    line = socket.socket(fileno=int(supervised.partition(":")[2]))
    line.set_inheritable(False)  # what a task starts must not keep it open
    return line


def _command(name: str, given: dict[str, Any], flags: dict[str, bool]) -> Callable[[int, int], list[str]]:
    """A function that makes the command of a worker process, given its slot and its socket to the supervisor."""
    words = command_for("worker", name)
    words += [f"--{option}={value}" for option, value in given.items() if value is not None]
    words += [f"--{flag}" for flag, is_set in flags.items() if is_set]
    return lambda slot, line: [*words, f"--supervised={slot}:{line}"]


def _work(run: Callable[[], int]) -> int:
    try:
        return run()
    except EngineError as error:  # only at the start: a worker that runs does not end because its store fails
        raise WrongUsage(str(error)) from error
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
    # Nothing has begun. A second signal must not raise while the first one's exception is being handled.
    _on_signals(lambda *_: os._exit(0))
    raise StopRequested


def _print_banner(target: Target, settings: WorkerSettings, processes: int | None) -> None:
    app = target.app
    head = Text.assemble(("turnspit", "bold"), f" {__version__} · {plain(target.name)} · pid {os.getpid()}")
    origin = ""
    if app.store.is_default:
        origin = " (by default: no URL was given)"
    elif app.store.is_not_of_environment:
        origin = " (as the program says: $TURNSPIT_URL is for a Turnspit() without a URL)"
    rows = {
        "store": Text(plain(app.engine.location + origin), "cyan"),
        "queues": Text(plain(_queues(app, settings))),
        "tasks": Text(str(len(app.tasks.tasks))),
        "concurrency": Text(f"{settings.concurrency}{'' if processes is None else ' in each process'}"),
    }
    if processes is not None:
        rows["processes"] = Text(str(processes))
    print_banner(head, rows)
    err().print(Text("  Ctrl-C stops it in order, a second one at once", style="dim"), soft_wrap=True)


def _queues(app: Turnspit, settings: WorkerSettings) -> str:
    """The queues that are served, naming those that no task declares: they may be mistyped."""
    if settings.queues is None:
        return "all"
    known = {task.queue for task in app.tasks.tasks} | set(app.queue_limits) | set(app.bounded_queues)
    unknown = [queue for queue in settings.queues if queue not in known]
    text = ", ".join(settings.queues)
    if not unknown:
        return text
    return f"{text} (no task declares {' or '.join(unknown)}; there are {', '.join(sorted(known))})"
