"""A command at a terminal: a person who reads questions and answers them."""

import os
import pty
import subprocess
import sys

__all__ = ["at_terminal"]


def at_terminal(*words: object, answer: str = "", columns: int = 80) -> tuple[int, str]:
    """Run ``turnspit`` at a terminal; its exit code, and all that was shown.

    :param answer: typed when a question is asked.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "turnspit", *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color"},
    )
    os.close(theirs)
    shown = b""
    while piece := _read(ours):
        shown += piece
        if answer and shown.endswith(b"]: "):
            os.write(ours, f"{answer}\n".encode())
            answer = ""
    os.close(ours)
    return process.wait(timeout=30), shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the process has ended
        return b""
