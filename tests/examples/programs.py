"""Running the examples as a reader would: as programs of their own, in an empty folder."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "1",
}


def run(folder: Path, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments in ``folder``, to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def serve(folder: Path, *arguments: str) -> Iterator[str]:
    """Run a web server in ``folder`` meanwhile; its URL, which it prints when it is ready."""
    server = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert server.stdout is not None
    printed = []
    try:
        for line in server.stdout:
            printed.append(line)
            if url := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail(f"the server ended with {server.wait()}:\n{''.join(printed)}")
        yield url[0]
    finally:
        server.terminate()
        server.communicate(timeout=30)
