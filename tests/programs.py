"""Programs that a test starts: whatever happens in the test, they are gone after it, and their children too."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def running(*command: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A program in a process group of its own, all of which is killed at the end.

    A child that outlived its parent would hold its pipes open, and who reads to their end would wait for good.
    """
    with subprocess.Popen(command, text=True, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
