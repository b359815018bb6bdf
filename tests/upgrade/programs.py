"""Processes that migrate: ``python -m tests.upgrade.programs NAME URL ...``."""

import os
import signal
import sys
from collections.abc import Iterator

from turnspit import Turnspit
from turnspit.engines.migrations import Schema


def first_use(url: str) -> None:
    """Wait for a line, so that all begin at once, then use the store."""
    app = Turnspit(url, deadline=30)

    @app.task
    def note() -> None: ...

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    note.enqueue()
    app.close()


def die_in_migration(url: str, kill_point: str) -> None:
    """Migrate to tomorrow's schema, and be killed right after the step that is named."""
    from unittest import mock

    from tests.upgrade.tomorrow import tomorrow  # with the drivers of both engines, which twenty first uses do not need

    with tomorrow():
        steps = Schema.steps

        def until_killed(schema: Schema, since: int) -> Iterator[str]:
            for step in steps(schema, since):
                yield step  # it has been run when the next one is asked for
                if step.startswith(f"-- {kill_point}"):
                    os.kill(os.getpid(), signal.SIGKILL)

        with mock.patch.object(Schema, "steps", until_killed):
            Turnspit(url).migrate()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
