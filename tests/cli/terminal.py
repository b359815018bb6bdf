"""A command at a terminal: a person who reads questions and answers them."""

import os
import pty
import sys

__all__ = ["at_terminal"]


def at_terminal(*words: object, answer: str = "", columns: int = 80) -> tuple[int, str]:
    """Run ``turnspit`` at a terminal; its exit code, and all that was shown.

    :param answer: typed when a question is asked.
    """
    process, terminal = pty.fork()
    if process == 0:
        os.environ["COLUMNS"] = str(columns)
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "turnspit", *map(str, words)])
    shown = b""
    while piece := _read(terminal):
        shown += piece
        if answer and shown.endswith(b"]: "):
            os.write(terminal, f"{answer}\n".encode())
            answer = ""
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the process has ended
        return b""
