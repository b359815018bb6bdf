"""Where each system's packages are: in a virtual environment, ``node_modules`` or unpacked Debian packages of its own.

Each is made once, under ``~/.cache/turnspit-bench`` (or ``$TURNSPIT_BENCH_CACHE``), by the registries' ordinary
clients. Direct requirements are pinned; another pin makes another folder.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Debian", "Environment", "Here", "Node", "NotInstalled", "Venv", "cache"]


class NotInstalled(Exception):
    """An environment could not be made; the message says why."""


def cache() -> Path:
    """The folder of all environments."""
    return Path(os.environ.get("TURNSPIT_BENCH_CACHE") or Path.home() / ".cache" / "turnspit-bench")


class Environment:
    """Packages of a system's own."""

    def command(self, program: str) -> list[str]:
        """How a program of this environment is started.

        :raises NotInstalled: if the environment is not there and cannot be made.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Here(Environment):
    """The harness's own virtual environment."""

    def command(self, program: str) -> list[str]:
        return [sys.executable, "-m", "benchmarks.agent", program]


@dataclass(frozen=True)
class Venv(Environment):
    """A virtual environment with these requirements, on the harness's Python or on a newer one."""

    requirements: tuple[str, ...]
    python: tuple[int, int] = field(default=(3, 11))

    def command(self, program: str) -> list[str]:
        with _made("venv", self.requirements) as (folder, is_new):
            if is_new:
                _run([_python(self.python), "-m", "venv", "--clear", str(folder)])
                pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
                _run([*pip, *self.requirements])
        return [str(folder / "bin" / "python"), "-m", "benchmarks.agent", program]


@dataclass(frozen=True)
class Node(Environment):
    """A ``node_modules`` folder with these packages. Programs are looked for beside the Python ones."""

    packages: tuple[str, ...]

    def command(self, program: str) -> list[str]:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise NotInstalled("node and npm are not on PATH")
        with _made("node", self.packages) as (folder, is_new):
            if is_new:
                folder.mkdir(parents=True, exist_ok=True)
                _run([npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", *self.packages])
        source = Path(__file__).parent / "programs"
        for script in source.glob("*.mjs"):  # beside node_modules, where node looks for packages
            shutil.copyfile(script, folder / script.name)
        return [node, str(folder / f"{program}.mjs")]


@dataclass(frozen=True)
class Debian(Environment):
    """A program of Debian packages: the installed one, else unpacked into the cache, without installing anything."""

    packages: tuple[str, ...]

    def command(self, program: str) -> list[str]:
        installed = shutil.which(program)
        if installed is not None:
            return [installed]
        with _made("debian", self.packages) as (folder, is_new):
            if is_new:
                folder.mkdir(parents=True, exist_ok=True)
                _run(["apt-get", "download", *self.packages], folder)
                for package in sorted(folder.glob("*.deb")):
                    _run(["dpkg", "-x", str(package), str(folder)])
        libraries = ":".join(sorted({str(found.parent) for found in folder.rglob("*.so*")}))
        return ["env", f"LD_LIBRARY_PATH={libraries}", str(folder / "usr" / "bin" / program)]


@contextmanager
def _made(kind: str, pins: tuple[str, ...]) -> Iterator[tuple[Path, bool]]:
    """The folder for these pins, and whether the block has to fill it; if the block fails, it will be filled again."""
    name = "".join(letter if letter.isalnum() else "-" for letter in pins[0])
    digest = hashlib.sha256(repr(pins).encode()).hexdigest()[:8]
    folder = cache() / f"{kind}-{name}-{digest}"
    ready = folder / ".ready"
    is_new = not ready.exists()
    yield folder, is_new
    if is_new:
        ready.touch()


def _run(command: list[str], folder: Path | None = None) -> None:
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from error
    if answer.returncode:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        raise NotInstalled(f"{' '.join(command[:4])} failed: {said[-1] if said else answer.returncode}")


def _python(oldest: tuple[int, int]) -> str:
    if sys.version_info >= oldest:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(oldest[1], oldest[1] + 3)]
    on_path = (shutil.which(name) for name in names)
    in_pyenv = (str(found) for name in names for found in Path.home().glob(f".pyenv/versions/{name[6:]}.*/bin/python"))
    for found in (*on_path, *in_pyenv):
        if found is not None and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    raise NotInstalled(f"needs Python {oldest[0]}.{oldest[1]} or newer on PATH or in ~/.pyenv")
