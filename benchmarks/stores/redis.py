"""A private Redis, for orientation: it loses up to a second of accepted jobs in a power cut."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.environments import Debian
from benchmarks.stores.base import Kind, Store, Usage

__all__ = ["Redis"]

_SERVER = Debian(("redis-server", "redis-tools", "libjemalloc2", "liblua5.1-0", "liblzf1", "lua-bitop", "lua-cjson",
                  "libhiredis0.14", "libatomic1"))  # fmt: skip


class Redis(Kind):
    """One server for the whole run, emptied for each measurement."""

    title = "Redis"

    def __init__(self) -> None:
        command = _SERVER.command("redis-server")
        self._folder = Path(tempfile.mkdtemp(prefix="turnspit-redis-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        options = {"port": str(self._port), "bind": "127.0.0.1", "dir": str(self._folder), "save": "",
                   "appendonly": "yes", "appendfsync": "everysec"}  # fmt: skip
        flags = [text for name, value in options.items() for text in (f"--{name}", value)]
        self._process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL)
        store = self._connect()
        version = next(line for line in store.ask("INFO server").splitlines() if line.startswith("redis_version"))
        store.close()
        self.conditions = (
            f"Redis {version.partition(':')[2]}, appendonly with appendfsync=everysec: an accepted job may be lost in "
            "the second before a power cut, so its figures are no durable ones"
        )

    def _connect(self) -> "Database":
        for _ in range(100):
            try:
                return Database(self._port, self._process.pid)
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise OSError("Redis does not answer")

    @contextmanager
    def new_store(self) -> Iterator[Store]:
        store = self._connect()
        store.ask("FLUSHALL")
        try:
            yield store
        finally:
            store.close()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class Database(Store):
    """One connection that speaks as much of the protocol as the questions need."""

    def __init__(self, port: int, server: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._server = psutil.Process(server)
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._lines = self._socket.makefile("rb")

    def ask(self, command: str) -> str:
        """Send one command; its answer, a number or a text."""
        self._socket.sendall(command.encode() + b"\r\n")
        answer = self._lines.readline().decode().strip()
        if answer.startswith("-"):
            raise OSError(f"Redis: {answer[1:]}")
        if answer.startswith("$"):
            return self._lines.read(int(answer[1:]) + 2).decode()
        return answer[1:]

    def number(self, question: str) -> int:
        """The sum of the answers to commands with a plus between them."""
        return sum(int(self.ask(command)) for command in question.split(" + "))

    def settle(self) -> None:
        """Nothing to do: Redis puts off only the writing of its log, once a second."""

    def usage(self) -> Usage:
        used = self._server.cpu_times()
        return Usage(used.user + used.system, 0, 0)

    def memory(self) -> float:
        return float(self._server.memory_info().rss) / 2**20

    def close(self) -> None:
        """Let go of the connection."""
        self._lines.close()
        self._socket.close()
