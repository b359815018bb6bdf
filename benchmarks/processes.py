"""The harness's side of an agent: start it, ask it, look at its processor time and memory."""

import json
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

__all__ = ["Agent", "AgentFailed"]

_ROOT = Path(__file__).parent.parent
_LONGEST = 600.0


class AgentFailed(Exception):
    """A system did not do what it was asked; the message ends with what it printed."""


class Agent:
    """One process of a system."""

    def __init__(self, name: str, command: list[str], store: str, longest: float = _LONGEST) -> None:
        self._name = name
        self._errors: list[str] = []
        self._process = subprocess.Popen(
            [*command, store],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._collect_errors, daemon=True).start()
        self._killer = threading.Timer(longest, self._process.kill)
        self._killer.daemon = True
        self._killer.start()
        self._what = "start"
        self.answer()

    def _collect_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as errors:
            self._errors.extend(errors)

    @property
    def errors(self) -> str:
        """The last that it printed to stderr."""
        return "".join(self._errors[-20:])

    def tell(self, verb: str, **ask: Any) -> None:
        """Send a verb, without waiting for the answer. To a process that works, any verb means to stop."""
        assert self._process.stdin is not None
        self._what = verb
        try:
            self._process.stdin.write(json.dumps({"verb": verb} | ask) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._failed() from error

    def answer(self) -> dict[str, Any]:
        """Wait for its answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failed()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, verb: str, **ask: Any) -> dict[str, Any]:
        """Send a verb, and wait for the answer."""
        self.tell(verb, **ask)
        return self.answer()

    def _failed(self) -> AgentFailed:
        self._process.kill()
        self._process.wait()
        return AgentFailed(f"{self._name}: {self._what} failed:\n{self.errors}")

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def cpu_seconds(self) -> float:
        """Processor time that the process and its children have used, all threads, user and system."""
        return sum(_cpu_seconds(each) for each in self._family())

    def memory(self) -> float:
        """Resident memory of the process and its children in MB, now."""
        return float(sum(each.memory_info().rss for each in self._family())) / 2**20

    def peak_memory(self) -> float:
        """The highest resident memory of the process in MB, so far; of its children, now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        children = sum(each.memory_info().rss for each in self._family()[1:])
        return int(line.split()[1]) / 1024 + children / 2**20

    def _family(self) -> list[psutil.Process]:
        this = psutil.Process(self._process.pid)
        return [this, *this.children(recursive=True)]

    def __enter__(self) -> "Agent":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._killer.cancel()
        for each in reversed(self._family()) if self._process.poll() is None else []:
            each.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


def _cpu_seconds(process: psutil.Process) -> float:
    # Linux: the clock id of another process's processor time, as clock_getcpuclockid(3) makes it: finer than /proc.
    return time.clock_gettime((~process.pid << 3) | 2)
