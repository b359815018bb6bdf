"""A TCP proxy before a PostgreSQL server, whose network a test can make lose bytes, fall silent, or break.

It understands the protocol as far as it must to know where a statement begins and where its answer ends, so that a
test can cut exactly there::

    with Proxy(server.port) as proxy:
        app = Turnspit(proxy.url(store_url))
        cut = proxy.cut(lambda sql: "COMMIT" in sql, when="after")    # the server gets it, its answer is lost
        ...
        assert cut.happened.wait(DEADLINE)
"""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Literal, Self

When = Literal["before", "after"]
How = Literal["reset", "silence"]

_ENCRYPTION = (80877103, 80877104)
_CANCEL = 80877102


class Cut:
    """One fault that waits for its statement. It happens once."""

    def __init__(self, matches: Callable[[str], bool], when: When, how: How) -> None:
        self.matches = matches
        self.when = when
        self.how = how
        self.happened = threading.Event()


class Proxy:
    """Listens on a port of its own and passes everything on, until it is told otherwise."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._links: set[_Link] = set()
        self._cuts: list[Cut] = []
        self._lock = threading.Lock()
        self._closed = False
        self.to_server = self.to_client = True
        self.refusing = False
        self.statements: list[str] = []
        """The SQL of every request that came, in order; several in one where they travel together."""
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def url(self, url: str) -> str:
        """The URL with this proxy in the server's place."""
        return re.sub(r"(?<=127\.0\.0\.1:)\d+", str(self.port), url)

    def cut(self, matches: Callable[[str], bool], *, when: When, how: How = "reset") -> Cut:
        """At the next statement that matches: lose it (``before``), or its answer (``after``).

        :param how: ``reset``: both sides notice at once. ``silence``: nobody does; no byte passes any more.
        """
        cut = Cut(matches, when, how)
        with self._lock:
            self._cuts.append(cut)
        return cut

    def forget_cuts(self) -> None:
        """Faults that have not happened yet never will."""
        with self._lock:
            self._cuts.clear()

    def swallow(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Lose every byte in these directions from now on, on every connection, and say nothing."""
        self.to_server, self.to_client = not to_server, not to_client

    def pass_on(self) -> None:
        """Lose nothing any more, and take connections again. What was lost stays lost."""
        self.to_server = self.to_client = True
        self.refusing = False

    def reset(self, *, refuse: bool = False) -> None:
        """Break every connection; with ``refuse``, new ones too until ``pass_on``."""
        self.refusing = refuse
        for link in self._all():
            link.reset()

    def lead_to(self, port: int) -> None:
        """Lead new connections to another server."""
        self._server = port

    @property
    def silent(self) -> int:
        """How many connections are open on which bytes were lost."""
        return sum(link.is_silent for link in self._all())

    def _all(self) -> "list[_Link]":
        with self._lock:
            return list(self._links)

    def seen(self, sql: str) -> Cut | None:
        """A statement came; the fault that waited for it."""
        with self._lock:
            self.statements.append(sql)
            found = next((cut for cut in self._cuts if cut.matches(sql)), None)
            if found is not None:
                self._cuts.remove(found)
            return found

    def ended(self, link: "_Link") -> None:
        with self._lock:
            self._links.discard(link)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing or self._closed:
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                _reset(client)
                continue
            link = _Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset(refuse=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._sql: dict[bytes, str] = {}
        self._cut: Cut | None = None
        self._is_cut = False
        self.is_silent = False

    def start(self) -> None:
        for end in (self._client, self._server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pump in (self._upwards, self._downwards):
            threading.Thread(target=self._guard, args=(pump,), name="proxy-link", daemon=True).start()

    def _guard(self, pump: Callable[[], None]) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError):
            pump()
        self.reset()

    def reset(self) -> None:
        self._proxy.ended(self)
        for end in (self._client, self._server):
            _reset(end)

    def _upwards(self) -> None:
        """From the client: requests, each up to the message that asks for an answer."""
        self._greet()
        request: list[bytes] = []
        statements: list[str] = []
        for kind, message in _messages(self._client):
            request.append(message)
            statements += self._statements(kind, message[5:])
            if kind not in b"QSX":
                continue
            self._send_request(b"".join(request), "; ".join(statements))
            request, statements = [], []

    def _greet(self) -> None:
        """The start, without encryption."""
        while True:
            [size] = struct.unpack("!I", head := _read(self._client, 4))
            body = _read(self._client, size - 4)
            [code] = struct.unpack("!I", body[:4])
            if code not in _ENCRYPTION:
                break
            self._client.sendall(b"N")
        self._to_server(head + body)
        if code == _CANCEL:
            raise EOFError

    def _statements(self, kind: int, body: bytes) -> list[str]:
        """The SQL that a message stands for; a prepared one is named only."""
        if kind == ord("Q"):
            return [body.rstrip(b"\0").decode()]
        if kind == ord("P"):
            name, sql = body.split(b"\0")[:2]
            self._sql[name] = sql.decode()
        if kind == ord("B"):
            return [self._sql.get(body.split(b"\0")[1], "")]
        return []

    def _send_request(self, request: bytes, sql: str) -> None:
        cut = None if self._is_cut or not sql else self._proxy.seen(sql)
        if cut is not None:
            self._is_cut = True
            if cut.when == "before":
                self._fail(cut)
                return
            self._cut = cut
        self._to_server(request)

    def _to_server(self, message: bytes) -> None:
        if self.is_silent or not self._proxy.to_server:
            self.is_silent = True
            return
        self._server.sendall(message)

    def _downwards(self) -> None:
        """From the server: answers, each up to "ready for query"."""
        for kind, message in _messages(self._server):
            if self._cut is not None:
                if kind == ord("Z"):
                    self._fail(self._cut)
            elif self.is_silent or not self._proxy.to_client:
                self.is_silent = True
            else:
                self._client.sendall(message)

    def _fail(self, cut: Cut) -> None:
        cut.happened.set()
        self._cut, self.is_silent = None, True
        if cut.how == "reset":
            # The client is told once the server has let go: what it does next meets no lock of its own past.
            self._server.shutdown(socket.SHUT_WR)


def _messages(source: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Each message of the protocol: its kind, and all of it."""
    while True:
        head = _read(source, 5)
        [size] = struct.unpack("!I", head[1:])
        yield head[0], head + _read(source, size - 4)


def _read(source: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = source.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _reset(end: socket.socket) -> None:
    """Close it so that the other side reads "connection reset"."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
    end.close()
