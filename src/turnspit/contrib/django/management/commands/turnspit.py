"""``manage.py turnspit ...``: Turnspit's command line, with Django set up and the app of the settings."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from turnspit.__main__ import main
from turnspit.contrib.django.settings import read_settings

__all__ = ["Command"]


class Command(BaseCommand):
    """Passes its words on: ``manage.py turnspit worker --queues email``."""

    help = "Turnspit's command line: worker, jobs, dead, queues, migrate, doctor ... (see manage.py turnspit --help)"
    requires_system_checks: Sequence[str] = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take every word, for ``call_command("turnspit", "jobs", "list")``."""
        parser.add_argument("words", nargs=argparse.REMAINDER)

    def run_from_argv(self, argv: list[str]) -> None:
        """From the shell: options and exit code are those of ``turnspit``."""
        sys.exit(_run(argv[2:]))

    def handle(self, *words: str, **options: Any) -> None:
        """From ``call_command``.

        :raises CommandError: if the command ended with another exit code than 0.
        """
        code = _run(words or options["words"])
        if code:
            raise CommandError(f"turnspit ended with exit code {code}", returncode=code)


def _run(words: Sequence[str]) -> int:
    os.environ["TURNSPIT_APP"] = read_settings().command_line_name
    return main(list(words))
