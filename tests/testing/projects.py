"""A user's project in a temporary folder, tested by a real pytest."""

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["outcome", "run_pytest", "write"]

_NOT_OURS = ("-p", "no:schemathesis", "-p", "no:hypothesispytest")
"""Plugins that only this repository's tests have, and that take two seconds of each start of pytest."""


def write(folder: Path, files: dict[str, str]) -> None:
    """Write the files of a project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What pytest says in that folder; every warning is an error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TURNSPIT"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *_NOT_OURS, "-W", "error", *options],
        cwd=folder,
        env=environment | {"COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


def outcome(answer: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How many tests passed, failed and so on, by the last line."""
    last = answer.stdout.strip().splitlines()[-1]
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped|warnings?)", last)}
