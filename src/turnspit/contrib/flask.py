"""Turnspit in Flask: the store's URL from the configuration, each job in an application context, ``flask turnspit``.

::

    tasks = Turnspit()

    def create_app() -> Flask:
        app = Flask(__name__)
        app.config["TURNSPIT_URL"] = "sqlite:///shop.db"
        init_app(app, tasks)
        return app
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import click
from flask import Flask
from flask.cli import ScriptInfo

from turnspit import ConfigurationError, JobContext, Turnspit
from turnspit.__main__ import main
from turnspit._runtime.worker.processes import prepare_processes

__all__ = ["init_app"]

_served: WeakKeyDictionary[Turnspit, Flask] = WeakKeyDictionary()
"""The Flask application in whose context an app's jobs run: the one that was initialised last."""


def init_app(app: Flask, tasks: Turnspit) -> None:
    """Connect a Flask application with its ``Turnspit``; call it in the application factory.

    The store is ``app.config["TURNSPIT_URL"]``, if that is set. Each job runs in ``app.app_context()``; for a plain
    task the context is pushed and popped in the task's own thread. ``flask turnspit worker`` and the other commands
    know the app. If the factory runs again, as in tests, jobs run in the newest application's context.
    """
    url = app.config.get("TURNSPIT_URL")
    if url is not None:
        tasks.configure(url)
    app.extensions["turnspit"] = tasks
    app.cli.add_command(_make_command(tasks))
    if tasks not in _served:
        _run_in_context(tasks)
    _served[tasks] = app


def _run_in_context(tasks: Turnspit) -> None:
    @contextmanager
    def context() -> Iterator[None]:
        with _served[tasks].app_context():
            yield

    @tasks.middleware
    def in_the_thread(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        with context():
            return call_next(job)

    @tasks.middleware
    async def on_the_loop(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        if not tasks.tasks[job.task].is_async:
            return await call_next(job)
        with context():
            return await call_next(job)


def _make_command(tasks: Turnspit) -> click.Command:
    def run(words: tuple[str, ...]) -> None:
        info = click.get_current_context().find_object(ScriptInfo)
        if info is not None and info.create_app is None:  # not in a script of one's own, which others cannot repeat
            if info.app_import_path is not None:
                os.environ["FLASK_APP"] = info.app_import_path
            prepare_processes(tasks, f"{__name__}:{load_application.__name__}")
        os.environ["TURNSPIT_APP"] = _name_of(tasks)
        sys.exit(main(words))

    return click.Command(
        "turnspit",
        callback=run,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
        short_help="Turnspit's command line: worker, jobs, dead, queues ...",
    )


def load_application() -> None:
    """Make the application as the command ``flask`` does, with its factory: in the processes of ``isolate=True``."""
    ScriptInfo(os.environ.get("FLASK_APP")).load_app()


def _name_of(tasks: Turnspit) -> str:
    """The app as the command line names it, ``package.module:name``: where an imported module has it."""
    for module, content in list(sys.modules.items()):
        for name, value in list(getattr(content, "__dict__", {}).items()):
            if value is tasks:
                return f"{module}:{name}"
    raise ConfigurationError("this app is in no module by a name, as in tasks = Turnspit(): the command line needs one")
