"""The harness's side of an agent: start it, let it go, read its report, look at its CPU time and memory."""

import json
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.contract import System

__all__ = ["Agent", "AgentFailed", "run_agent"]

_ROOT = Path(__file__).parent.parent
_LONGEST = 7200.0


class AgentFailed(Exception):
    """A system did not do what it was asked; the message ends with what it printed."""


class Agent:
    """One process of a system, ready to go when this is made."""

    def __init__(self, system: type[System], store: Path, verb: str, number: int = 0) -> None:
        self._what = f"{system.name}: {verb}"
        self._errors: list[str] = []
        self._process = subprocess.Popen(
            [*system.command(), str(store), verb, str(number)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._collect_errors, daemon=True).start()
        self._killer = threading.Timer(_LONGEST, self._process.kill)
        self._killer.daemon = True
        self._killer.start()
        if self._line() != "ready":
            raise self._failed()

    def _collect_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as errors:
            self._errors.extend(errors)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _failed(self) -> AgentFailed:
        self._process.kill()
        self._process.wait()
        return AgentFailed(f"{self._what} failed:\n{self.errors}")

    @property
    def errors(self) -> str:
        """The last that it printed to stderr."""
        return "".join(self._errors[-20:])

    def tell(self) -> None:
        """Send one line: the first lets the agent go, the second stops a worker."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def report(self) -> dict[str, Any]:
        """What it had to say; waits for its end."""
        line = self._line()
        if not line:
            raise self._failed()
        self._process.wait()
        report: dict[str, Any] = json.loads(line)
        return report

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def cpu_seconds(self) -> float:
        """CPU time that the process has used, all threads, user and system."""
        # Linux: the clock id of another process's CPU clock, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def memory(self, field: str = "VmRSS") -> float:
        """Resident memory in MB, now (``VmRSS``) or at its highest (``VmHWM``)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        [line] = [line for line in status.splitlines() if line.startswith(field + ":")]
        return int(line.split()[1]) / 1024

    def __enter__(self) -> "Agent":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._killer.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def run_agent(system: type[System], store: Path, verb: str, number: int) -> dict[str, Any]:
    """One agent from start to report."""
    with Agent(system, store, verb, number) as agent:
        agent.tell()
        return agent.report()
