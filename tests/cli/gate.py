"""A gate in front of which a job of the shop waits: the test learns that it has begun, and lets it go on."""

import socket
from pathlib import Path
from types import TracebackType

__all__ = ["Gate"]

_DEADLINE = 20.0


class Gate:
    """A socket that jobs connect to: ``hold`` and ``hold_thread`` wait there until it is opened."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.path = str(folder / name)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self.path)
        self._server.listen()
        self._server.settimeout(_DEADLINE)
        self._waiting: list[socket.socket] = []

    def wait_for_job(self) -> None:
        """Wait until one more job has begun."""
        connection, _ = self._server.accept()
        self._waiting.append(connection)

    def last(self) -> socket.socket:
        """The connection of the job that began last, to hear what it says."""
        self._waiting[-1].settimeout(_DEADLINE)
        return self._waiting[-1]

    def wait_until_gone(self) -> None:
        """Wait until the job that began last waits no more: it was cancelled, or its process is gone."""
        self._waiting[-1].settimeout(_DEADLINE)
        assert self._waiting[-1].recv(1) == b""

    def open(self) -> None:
        """Let the jobs go on."""
        while self._waiting:
            self._waiting.pop().close()

    def __enter__(self) -> "Gate":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open()
        self._server.close()
