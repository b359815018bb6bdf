"""The dashboard for WSGI servers and frameworks like Flask. Pages poll there instead of holding a stream open, because
each open connection occupies one of the server's threads.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Scope

__all__ = ["WsgiApp"]

_LARGEST = 4 * 1024 * 1024
_PATIENCE = 2.0


class WsgiApp:
    """A WSGI app around an ASGI one, whose requests run on one event loop in a thread of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._loop: tuple[int, asyncio.AbstractEventLoop] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        is_chunked = not environ.get("CONTENT_LENGTH") and bool(environ.get("wsgi.input_terminated"))
        body = environ["wsgi.input"].read(_LARGEST if is_chunked else min(_number(environ, "CONTENT_LENGTH"), _LARGEST))
        answer = asyncio.run_coroutine_threadsafe(self._answer(_scope(environ), body), self._running_loop()).result()
        status, headers, content = answer
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [content]

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The loop; after a fork a new one, as threads are not inherited."""
        with self._lock:
            if self._loop is None or self._loop[0] != os.getpid():
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="turnspit-dashboard", daemon=True).start()
                atexit.register(_end, loop, os.getpid())
                self._loop = os.getpid(), loop
            return self._loop[1]

    async def _answer(self, scope: Scope, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        status, headers, parts = 500, list[tuple[str, str]](), list[bytes]()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers.extend((name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"])
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return status, headers, b"".join(parts)


def _end(loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Let what runs in the background know that the process ends, as ``asyncio.run`` does for other servers."""

    async def cancel() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    if os.getpid() == process:  # a fork inherits this, but not the loop's thread
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(cancel(), loop).result(_PATIENCE)


def _number(environ: dict[str, Any], name: str) -> int:
    """A number of the request; 0 where there is none. Not every server checks what a client sends."""
    text = str(environ.get(name) or "")  # flask run has the port of the client as a number
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _scope(environ: dict[str, Any]) -> Scope:
    names = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}
    names |= {name: name[5:].replace("_", "-").lower() for name in environ if name.startswith("HTTP_")}
    headers = [(new.encode(), environ[old].encode("latin-1")) for old, new in names.items() if environ.get(old)]
    root, path = (  # WSGI has the bytes of a path as latin-1 text
        environ.get(name, "").encode("latin-1").decode(errors="replace") for name in ("SCRIPT_NAME", "PATH_INFO")
    )
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "root_path": root,
        "path": root + (path or "/"),
        "raw_path": (root + path).encode(),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
        "client": (environ.get("REMOTE_ADDR", ""), _number(environ, "REMOTE_PORT")),
        "server": (environ.get("SERVER_NAME", ""), _number(environ, "SERVER_PORT")),
        "turnspit.wsgi": environ,
    }
