"""The processes of tasks with ``isolate=True``. They set Django up by themselves, and know nothing of its tests."""

import json
import os

import django
from django.core import mail
from django.db import connections

__all__ = ["name_databases_of_tests", "set_up"]

_VARIABLE = "TURNSPIT_DJANGO_TEST_DATABASES"


def name_databases_of_tests() -> None:
    """Let the processes that start from now on use the databases of the tests that run here, or else the real ones."""
    if hasattr(mail, "outbox"):  # Django's own sign of a test environment
        names = {alias: str(database["NAME"]) for alias, database in connections.settings.items()}
        os.environ[_VARIABLE] = json.dumps(names)
    else:
        os.environ.pop(_VARIABLE, None)


def set_up() -> None:
    """Set Django up in such a process."""
    names = json.loads(os.environ.get(_VARIABLE, "{}"))
    for alias, name in names.items():
        connections.settings[alias]["NAME"] = name
    django.setup()
    if names:
        from django.test.utils import setup_test_environment  # noqa: PLC0415  (no worker needs it)

        setup_test_environment()  # its e-mails go nowhere
