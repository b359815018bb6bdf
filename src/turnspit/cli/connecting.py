"""A store that does not answer at once: the person at the terminal is told what is waited for, and how long."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from turnspit.app import Turnspit
from turnspit.cli.output import note

__all__ = ["telling_of_waits"]

_SOON = 1.0


@contextmanager
def telling_of_waits(app: Turnspit) -> Iterator[None]:
    """Say so on stderr, once, if the block has no answer from the store within a second."""
    text = f"turnspit: store {app.engine.location} does not answer yet; trying for {app.deadline:g} s"
    timer = threading.Timer(_SOON, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
