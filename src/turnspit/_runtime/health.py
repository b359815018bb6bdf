"""How a worker is, for whoever decides whether to replace it: a file that is touched, and HTTP."""

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from turnspit.clock import Duration, monotonic, to_duration
from turnspit.errors import ConfigurationError

__all__ = ["Health", "HealthReport", "HealthService", "Pulse"]

_SECOND = 1_000_000
_BEAT = 1.0
_TOUCH = 5.0
_CLIENT = 5.0


class Health:
    """Where a worker shows how it is.

    :param file: rewritten every 5 seconds, and whenever something changes, while the worker is live; it holds the
        report as JSON. An orderly end removes it.
    :param port: where ``GET /livez`` and ``/readyz`` answer 200 or 503, with the report as JSON; 0 takes a free one.
    :param host: the address of that port; by default nobody on another machine can ask.
    :param max_lag: seconds or ``timedelta`` that the event loop may be blocked, or that jobs over their time-out may
        take every slot, before the worker is no longer live. A supervisor, if there is one, replaces it for such jobs.
    :raises ConfigurationError: for what cannot be meant.

    ::

        app.run_worker(health=Health(file="/run/worker.health", port=8080))
    """

    def __init__(
        self,
        file: str | Path | None = None,
        port: int | None = None,
        host: str = "127.0.0.1",
        max_lag: Duration = 30.0,
    ) -> None:
        if port is not None and (not isinstance(port, int) or not 0 <= port <= 65535):
            raise ConfigurationError(f"a health port is a whole number of at most 65535, not {port!r}")
        self.file = None if file is None else Path(file).absolute()
        if self.file is not None and not self.file.name:
            raise ConfigurationError(f"the health file {self.file} is a folder: name a file in it")
        self.port = port
        self.host = host
        self.max_lag = to_duration(max_lag, "max_lag") / _SECOND
        if not self.max_lag:
            raise ConfigurationError("max_lag is more than 0 seconds: an event loop is always a little late")

    @property
    def is_wanted(self) -> bool:
        """Whether there is a file or a port to show it. For the worker."""
        return self.file is not None or self.port is not None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """``live``: it need not be replaced. ``ready``: it works as it should. ``problems``: what is wrong, for people.
    ``is_hung``: jobs that nobody can end have taken all slots for too long; whoever can replace it does.
    """

    live: bool
    ready: bool
    problems: tuple[str, ...] = ()
    is_hung: bool = False

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps({"live": self.live, "ready": self.ready, "problems": self.problems})


class Pulse:
    """Measures how late an event loop is. Made in the loop; ``lag`` may be asked in any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._beat()

    def _beat(self) -> None:
        self._at = monotonic()
        self._timer = self._loop.call_later(_BEAT, self._beat)

    @property
    def lag(self) -> float:
        """For how many seconds the loop has not done what was due."""
        return max(0.0, monotonic() - self._at - _BEAT)

    def problems(self, max_lag: float, whose: str = "the") -> tuple[str, ...]:
        """A loop that is later than ``max_lag`` seconds, in words."""
        lag = self.lag
        return (f"{whose} event loop has been blocked for {lag:.1f} s",) if lag > max_lag else ()

    def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()


class _Written(NamedTuple):
    text: str
    at: float


class HealthService:
    """Shows a report from threads of its own, so that it also answers while the event loop is blocked."""

    def __init__(self, health: Health, report: Callable[[], HealthReport]) -> None:
        self._health = health
        self._report = report
        self._stopping = threading.Event()
        self._writer: threading.Thread | None = None
        self._server: Any = None
        self.address: tuple[str, int] | None = None
        """Where it answers over HTTP."""

    def start(self) -> None:
        """Begin to show it.

        :raises ConfigurationError: if the file cannot be written or the port not be taken.
        """
        health = self._health
        if health.file is not None:
            try:
                self._write(self._report())
            except OSError as error:
                raise ConfigurationError(f"the health file {health.file} cannot be written: {error.strerror}") from None
            self._writer = threading.Thread(target=self._keep_writing, name="turnspit-health-file", daemon=True)
            self._writer.start()
        if health.port is not None:
            try:
                self._server = _open_server(health.host, health.port, self._report)
            except OSError as error:
                self.stop()
                where = f"{health.host}, port {health.port}"
                raise ConfigurationError(f"health cannot be shown on {where}: {error.strerror}") from None
            self.address = self._server.server_address[:2]
            threading.Thread(target=self._serve, name="turnspit-health", daemon=True).start()

    def stop(self) -> None:
        """Show nothing any more."""
        self._stopping.set()
        if self._writer is not None:
            self._writer.join()
            with contextlib.suppress(OSError):
                Path(str(self._health.file)).unlink()
        if self.address is not None:
            with contextlib.suppress(OSError):  # wake it from waiting for somebody to ask
                socket.create_connection(self.address, timeout=_CLIENT).close()

    def _serve(self) -> None:
        with self._server as server:
            while not self._stopping.is_set():
                server.handle_request()

    def _keep_writing(self) -> None:
        last = _Written("", 0.0)
        while not self._stopping.wait(_BEAT):
            report, now = self._report(), monotonic()
            text = report.as_json()
            if report.live and (text != last.text or now - last.at >= _TOUCH):
                with contextlib.suppress(OSError):  # a full disk: whoever looks sees an old file
                    self._write(report)
                    last = _Written(text, now)

    def _write(self, report: HealthReport) -> None:
        """Whole or not at all: whoever reads meanwhile sees the one before."""
        path = Path(str(self._health.file))
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(report.as_json() + "\n")
        fresh.replace(path)


def _open_server(host: str, port: int, report: Callable[[], HealthReport]) -> Any:
    # Only a worker that is asked over HTTP needs these: they would be a tenth of ``import turnspit``.
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415
    from socketserver import TCPServer  # noqa: PLC0415

    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT

        def do_GET(self) -> None:
            found = report()
            answers = {"/livez": found.live, "/readyz": found.ready}
            is_good = answers.get(self.path.partition("?")[0])
            if is_good is None:
                self._answer(404, json.dumps({"problems": ["there are /livez and /readyz here"]}))
            else:
                self._answer(200 if is_good else 503, found.as_json())

        do_HEAD = do_GET

        def _answer(self, code: int, text: str) -> None:
            body = text.encode() + b"\n"
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Somebody asks every few seconds: that is no news."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True
        block_on_close = False

        def server_bind(self) -> None:
            TCPServer.server_bind(self)  # HTTPServer's own asks a name server who it is

        def handle_error(self, *_: Any) -> None:
            """Whoever asked is gone."""

    return Server((host, port), Handler)
