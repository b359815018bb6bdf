"""The root of the command line: its commands, its own options, and the way it ends."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

from turnspit import __version__
from turnspit.cli import (
    dashboard,
    dead,
    demo,
    dev,
    doctor,
    enqueue,
    jobs,
    limits,
    migrate,
    move,
    queues,
    run,
    schedules,
    worker,
    workers,
    workflows,
)
from turnspit.cli.errors import Failed, StopRequested, WrongUsage, exit_code_of
from turnspit.cli.help import Command, Group
from turnspit.cli.launching import note_start, program
from turnspit.cli.loading import close_all
from turnspit.cli.output import complain
from turnspit.errors import TurnspitError

__all__ = ["app", "main"]

# typer brings its own copy of click since 0.26 and imported click before: its public exception leads to either.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


HELP = """Turnspit: a durable background-job queue.

APP is package.module:app, or a file like jobs.py:app; the name after the colon may be left out if the module has only
one app. Commands that need no tasks also take a store's URL, like sqlite:///shop.db. Without either, they use
$TURNSPIT_APP, then $TURNSPIT_URL. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""
_GROUPS = {
    "jobs": jobs,
    "dead": dead,
    "queues": queues,
    "workflows": workflows,
    "schedules": schedules,
    "limits": limits,
    "workers": workers,
}
"""The commands of a group are the keys of its module's EXAMPLES. A function whose name Python has already (list, set)
ends in an underscore.
"""
_INSTEAD = {
    "'beat'": "schedules fire in every worker, and there is nothing else to start",
    "'flower'": "turnspit dashboard",
    "'inspect'": "turnspit workers list, or turnspit jobs list --state running",
    "'status'": "turnspit doctor, or turnspit queues list",
    "'purge'": "turnspit jobs delete --state ready",
    "'retry'": "turnspit jobs replay, or turnspit dead replay for all that failed for good",
    "'requeue'": "turnspit jobs replay",
    "'list'": "turnspit jobs list, or turnspit dead groups for all that failed for good",
    "'show'": "turnspit jobs show",
    "-A": "the app goes behind the command, as in turnspit worker shop.jobs:app",
    "-l": "--log-level",
    "-Q": "--queues",
}
"""What people of other queues type, and what to type here."""
_RUNNING = "Run jobs"
_LOOKING = "Look at jobs and change them"
_STORE = "Look after the store"
_STARTING = "See it work"


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"turnspit {__version__}\n")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """The options of turnspit itself."""


def _make() -> typer.Typer:
    root = _group("turnspit", HELP, _root)
    _add(root, "worker", worker.worker, worker.EXAMPLES, _RUNNING)
    _add(root, "dev", dev.dev, dev.EXAMPLES, _RUNNING)
    _add(root, "run", run.run, run.EXAMPLES, _RUNNING)
    _add(root, "enqueue", enqueue.enqueue, enqueue.EXAMPLES, _RUNNING)
    for name, module in _GROUPS.items():
        group = _group(name, module.HELP)
        for verb, examples in module.EXAMPLES.items():
            function = verb.replace("-", "_")
            _add(group, verb, getattr(module, function, None) or getattr(module, f"{function}_"), examples)
        root.add_typer(group, rich_help_panel=_LOOKING)
    _add(root, "dashboard", dashboard.dashboard, dashboard.EXAMPLES, _LOOKING)
    _add(root, "migrate", migrate.migrate, migrate.EXAMPLES, _STORE)
    _add(root, "move", move.move, move.EXAMPLES, _STORE)
    _add(root, "doctor", doctor.doctor, doctor.EXAMPLES, _STORE)
    _add(root, "demo", demo.demo, demo.EXAMPLES, _STARTING, takes_more=True, hidden=not demo.is_here())
    return root


def _group(name: str, text: str, callback: Callable[..., Any] | None = None) -> typer.Typer:
    return typer.Typer(
        name=name, help=text, callback=callback, cls=Group, no_args_is_help=True, pretty_exceptions_enable=False
    )


def _add(
    group: typer.Typer,
    name: str,
    function: Callable[..., Any],
    examples: Iterable[str],
    heading: str | None = None,
    *,
    takes_more: bool = False,
    hidden: bool = False,
) -> None:
    settings = {"allow_extra_args": True, "ignore_unknown_options": True} if takes_more else None
    group.command(
        name,
        cls=Command,
        epilog="\n\n".join(examples),
        context_settings=settings,
        rich_help_panel=heading,
        hidden=hidden,
    )(function)


app = _make()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Whatever goes wrong is said in one line on stderr."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    note_start(arguments)
    try:
        _check_encoding(words)
        answer = get_command(app).main(words, prog_name=program(), standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except StopRequested:
        return 0
    except Exception as error:
        return _explain(error)
    finally:
        close_all()
    return answer if isinstance(answer, int) else 0


def _check_encoding(words: Iterable[str]) -> None:
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise WrongUsage(
                f"{word!r} is not text in this terminal's encoding, {sys.getfilesystemencoding()}"
            ) from None


def _explain(error: Exception) -> int:
    """Say in one line what went wrong, and return the exit code."""
    match error:
        case Failed(exit_code=code):
            complain(str(error))
            return code
        case TurnspitError():
            complain(str(error))
            return exit_code_of(error)
        case OSError():
            complain(str(error))
            return 1
        case _UsageError():
            return _explain_usage(error)
        case _:
            raise error


def _explain_usage(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(error.format_message() + "\n")
    else:
        command = error.ctx.command_path if error.ctx is not None else "turnspit"
        message = error.format_message().rstrip(".")
        instead = next((f": {text}" for word, text in _INSTEAD.items() if message.endswith(f" {word}")), "")
        complain(f"{message}{instead} (see {command} --help)")
    return 2
