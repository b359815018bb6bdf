"""``turnspit dashboard``: the dashboard and the JSON API, served here."""

import errno
import importlib.util
import os
import signal
import socket
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from turnspit import __version__
from turnspit.cli.errors import Failed, StopRequested, WrongUsage
from turnspit.cli.launching import program
from turnspit.cli.loading import Target, find_store, wait_for_store
from turnspit.cli.options import StoreArgument, option
from turnspit.cli.output import plain, print_banner

__all__ = ["EXAMPLES", "dashboard", "missing_packages"]

EXAMPLES = (
    "turnspit dashboard shop.jobs:app",
    "turnspit dashboard sqlite:///shop.db --port 8200 --read-only",
    "turnspit dashboard shop.jobs:app --host 0.0.0.0",
)

_NEEDED = ("starlette", "jinja2", "uvicorn")


Host = Annotated[
    str, option("--host", "ADDRESS", "The address it listens on; one that other machines reach needs a token.")
]
Port = Annotated[int, option("--port", "N", "The port; 0: a free one.", min=0, max=65535)]
Token = Annotated[
    str | None,
    option("--token", "TEXT", "Whoever has it is let in. Default: $TURNSPIT_DASHBOARD_TOKEN."),
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Let nobody change anything.")]
Redact = Annotated[
    list[str] | None,
    option("--redact", "NAME", "Also hide fields of this name, like *secret*; repeat it for more."),
]
RedactTask = Annotated[
    list[str] | None,
    option("--redact-task", "NAME", "Hide everything of this task; repeat it for more."),
]

AwaitStore = Annotated[bool, typer.Option("--await-store", help="Begin when a worker has made the store.", hidden=True)]


def dashboard(
    app: StoreArgument = None,
    host: Host = "127.0.0.1",
    port: Port = 8181,
    token: Token = None,
    read_only: ReadOnly = False,
    redact: Redact = None,
    redact_task: RedactTask = None,
    await_store: AwaitStore = False,
) -> None:
    """See what waits, runs and went wrong, and mend it, in a browser; with a JSON API below /api.

    With a store's URL instead of an app it shows the same, but the arguments of new jobs are checked only by the worker
    that runs them.
    """
    # uvicorn raises the signal again once it has ended in order.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    if missing := missing_packages():
        raise WrongUsage(f"the dashboard needs {', '.join(missing)}: pip install 'turnspit[dashboard]'")
    target = find_store(app, must_exist=not await_store)
    if await_store:
        wait_for_store(target.app)
    listener = _listen(host, port)
    with listener:
        _serve(target, listener, host, token, read_only=read_only, redact=redact or [], redact_tasks=redact_task or [])


def missing_packages() -> list[str]:
    """The packages that the dashboard needs and that are not installed."""
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


def _serve(
    target: Target,
    listener: socket.socket,
    host: str,
    token: str | None,
    *,
    read_only: bool,
    redact: list[str],
    redact_tasks: list[str],
) -> None:
    # An optional extra, which no other command needs.
    import uvicorn  # noqa: PLC0415

    from turnspit.web import LOOPBACK, TOKEN, CommandLine, make_dashboard  # noqa: PLC0415
    from turnspit.web.redaction import DEFAULT_NAMES  # noqa: PLC0415

    token = token or os.environ.get(TOKEN)
    is_local = host in LOOPBACK
    if not is_local and not token:
        raise WrongUsage(f"{host} can be reached from elsewhere: give --token or set {TOKEN}, or listen on 127.0.0.1")
    named = target.name if target.has_code else "APP"  # a store's URL enqueues nothing, and may have a password
    served = make_dashboard(
        target.app,
        token=token,
        read_only=read_only,
        redact=[*DEFAULT_NAMES, *redact],
        redact_tasks=redact_tasks,
        command_line=CommandLine(program(), named),
        only_loopback=is_local,
    )
    _print_banner(target, listener, has_token=token is not None)
    config = uvicorn.Config(served, log_level="warning", lifespan="off", timeout_graceful_shutdown=1, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise StopRequested


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        cure = "; give another with --port" if error.errno == errno.EADDRINUSE else ""
        raise Failed(f"the dashboard cannot listen on {host}, port {port}: {error.strerror}{cure}") from None
    return listener


def _print_banner(target: Target, listener: socket.socket, *, has_token: bool) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    name = f" · {plain(target.name)}" if target.has_code else ""  # a store's URL may have a password
    rows = {
        "dashboard": f"http://{shown}:{port}/",
        "store": target.app.engine.location,
        "let in": "who shows the token" if has_token else "who is on this machine",
    }
    head = Text.assemble(("turnspit", "bold"), f" {__version__}{name}")
    print_banner(head, {label: Text(plain(value), "cyan") for label, value in rows.items()})
