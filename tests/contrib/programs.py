"""A Django project in a folder of its own, and its commands."""

import subprocess
from pathlib import Path

from tests.contrib.databases import django_database
from tests.examples.programs import run


def write_settings(folder: Path, store_url: str, more: str = "") -> None:
    """The settings of examples/django_shop with another database."""
    databases = {"default": django_database(store_url)}
    (folder / "project.py").write_text(
        f"from examples.django_shop.settings import *\nDATABASES = {databases!r}\n{more}"
    )


def manage(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``manage.py`` with these settings."""
    (folder / "manage.py").write_text(
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'project'\n"
        "from django.core.management import execute_from_command_line\n"
        "if __name__ == '__main__': execute_from_command_line(sys.argv)\n"
    )
    return run(folder, "manage.py", *words)
