"""Turnspit's tables in a Django project's own migrations, run by ``manage.py``."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.postgres import new_database
from tests.upgrade.tomorrow import TODAY
from turnspit import Turnspit

SETTINGS = """
from urllib.parse import urlsplit

SECRET_KEY = "for tests"
INSTALLED_APPS = ["shop"]
USE_TZ = True
DATABASES = {{"default": {database}}}
"""
MODELS = """
from django.db import models

class Order(models.Model):
    id = models.BigAutoField(primary_key=True)
"""
MIGRATION = """
from django.db import migrations, models
from turnspit.contrib.django.migrations import MigrateTurnspit

class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel("Order", [("id", models.BigAutoField(primary_key=True, serialize=False))]),
        MigrateTurnspit(),
    ]
"""
AGAIN = """
from django.db import migrations
from turnspit.contrib.django.migrations import MigrateTurnspit

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [MigrateTurnspit(since={since})]
"""


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, folder: Path) -> str:
    return f"sqlite:///{folder}/shop.db" if request.param == "sqlite" else new_database()


@pytest.fixture
def manage(database: str, folder: Path) -> Callable[..., str]:
    """A project of one app; runs ``manage.py``, gives what it printed."""
    shop = folder / "shop"
    (shop / "migrations").mkdir(parents=True)
    (shop / "__init__.py").touch()
    (shop / "migrations" / "__init__.py").touch()
    (shop / "models.py").write_text(MODELS)
    (shop / "migrations" / "0001_initial.py").write_text(MIGRATION)
    (shop / "migrations" / "0002_turnspit.py").write_text(AGAIN.format(since=TODAY))
    (folder / "settings.py").write_text(SETTINGS.format(database=_settings(database, folder)))

    def run(*words: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-m", "django", *words, "--settings=settings", f"--pythonpath={folder}"],
            cwd=folder,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "error"},
            timeout=50,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    return run


def _settings(database: str, folder: Path) -> dict[str, str]:
    if database.startswith("sqlite"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/shop.db"}
    user, _, place = database.removeprefix("postgresql://").partition("@")
    address, _, name = place.partition("/")
    host, _, port = address.partition(":")
    return {"ENGINE": "django.db.backends.postgresql", "NAME": name, "USER": user, "HOST": host, "PORT": port}


def status_of(database: str) -> tuple[int, int]:
    with Turnspit(database, migrate=False) as app:
        status = app.engine.schema_status()
        return status.current, len(status.pending)


def test_a_migration_makes_the_tables(manage: Callable[..., str], database: str) -> None:
    assert "Bring Turnspit's tables up to date" in manage("migrate", "--plan")
    manage("migrate")
    assert status_of(database) == (TODAY, 0)
    with Turnspit(database, migrate=False) as app:
        assert app.jobs.count() == 0
    assert "No changes detected" in manage("makemigrations", "--dry-run")
    manage("migrate", "shop", "zero")
    assert status_of(database) == (TODAY, 0)
    manage("migrate")


def test_sqlmigrate_prints_what_makes_them(manage: Callable[..., str], database: str, folder: Path) -> None:
    printed = manage("sqlmigrate", "shop", "0001")
    assert "_initial" in printed
    assert "enqueue" in printed or database.startswith("sqlite")
    assert "CREATE TABLE" not in manage("sqlmigrate", "shop", "0002")
    assert status_of(database) == (0, TODAY)
