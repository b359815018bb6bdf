"""``turnspit.contrib.django`` among the installed apps: settings, tasks found, commands, tests, connections."""

from pathlib import Path

import django
import pytest

from tests.contrib.programs import manage, write_settings
from tests.postgres import new_database
from turnspit import Turnspit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_settings(tmp_path, f"sqlite:///{tmp_path}/shop.db")
    return tmp_path


def add_django_app(folder: Path, name: str, module: str, code: str, more: str = "") -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / f"{module}.py").write_text(code)
    write_settings(folder, f"sqlite:///{folder}/shop.db", f"INSTALLED_APPS.append({name!r})\n{more}")


BLUEPRINT = "from turnspit import Blueprint\nreports = Blueprint('reports')\n@reports.task\ndef build() -> None: ...\n"
NAMES = "from examples.django_shop.shop.jobs import app; print(*app.tasks)"


def test_deferred_transactions_on_sqlite_are_warned_of(folder: Path) -> None:
    assert "turnspit.W001" not in manage(folder, "check").stderr
    write_settings(folder, f"sqlite:///{folder}/shop.db", "del DATABASES['default']['OPTIONS']['transaction_mode']")
    assert 'Put "OPTIONS": {"transaction_mode": "IMMEDIATE"' in manage(folder, "check").stderr


@pytest.mark.parametrize("module", ["tasks", "jobs"])
def test_the_tasks_of_every_installed_app_are_found(folder: Path, module: str) -> None:
    add_django_app(folder, "reports", module, BLUEPRINT)
    assert manage(folder, "shell", "-v0", "-c", NAMES).stdout == "send_confirmation reports.build\n"


def test_where_they_are_looked_for_is_a_setting(folder: Path) -> None:
    add_django_app(folder, "reports", "background", BLUEPRINT, "TURNSPIT['MODULES'] = ['background']\n")
    assert manage(folder, "shell", "-v0", "-c", NAMES).stdout == "send_confirmation reports.build\n"


def test_an_error_in_such_a_module_is_shown(folder: Path) -> None:
    add_django_app(folder, "reports", "tasks", "import nonsense_that_is_missing\n")
    assert "No module named 'nonsense_that_is_missing'" in manage(folder, "check").stderr


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("del TURNSPIT", "turnspit.contrib.django needs to know the app: TURNSPIT = {'APP': 'shop.jobs.app'}"),
        ("TURNSPIT = {'APP': 'nowhere.app'}", "TURNSPIT['APP'] is 'nowhere.app', which cannot be imported: No module"),
        ("TURNSPIT = {'APP': 'os.path.join'}", "TURNSPIT['APP'] is 'os.path.join', a function and not a Turnspit"),
        ("TURNSPIT['QUEUE'] = 'x'", "TURNSPIT has no QUEUE; there are APP, DATABASE, MODULES"),
        ("TURNSPIT['DATABASE'] = 'jobs'", "TURNSPIT['DATABASE'] is 'jobs', which is not one of DATABASES"),
        ("DATABASES['default']['NAME'] = ':memory:'", "the database 'default' is in memory, where no worker can see"),
        ("DATABASES = {'default': {'ENGINE': 'django.db.backends.dummy'}}", "but jobs live in SQLite or PostgreSQL"),
    ],
)
def test_a_wrong_setting_says_what_to_do(folder: Path, setting: str, complaint: str) -> None:
    write_settings(folder, f"sqlite:///{folder}/shop.db", setting)
    assert complaint in manage(folder, "check").stderr


def test_jobs_may_live_elsewhere_where_nothing_is_joined(folder: Path) -> None:
    write_settings(folder, f"sqlite:///{folder}/shop.db", "TURNSPIT['DATABASE'] = None")
    code = (
        "from django.db import transaction\nfrom examples.django_shop.shop.jobs import app, send_confirmation\n"
        f"app.configure('sqlite:///{folder}/jobs.db')\n"
        "with transaction.atomic():\n"
        "    send_confirmation.enqueue(order_id=7)\n"
        "    transaction.set_rollback(True)\n"
    )
    answer = manage(folder, "shell", "-v0", "-c", code)
    assert answer.returncode == 0, answer.stderr
    with Turnspit(f"sqlite:///{folder}/jobs.db") as store:
        assert store.jobs.count() == 1


def test_the_command_line_ends_as_it_always_does(folder: Path) -> None:
    wrong = manage(folder, "turnspit", "worker", "--concurrency", "none")
    assert wrong.returncode == 2
    assert "--concurrency" in wrong.stderr
    assert (
        "\n  python manage.py turnspit worker --until-empty\n" in manage(folder, "turnspit", "worker", "--help").stdout
    )
    bare = manage(folder, "turnspit").stderr
    assert (bare.startswith("Usage: python manage.py turnspit COMMAND\n"), "completion" in bare) == (True, False)
    migrated = manage(folder, "turnspit", "migrate")
    assert (migrated.returncode, f"store {folder}/shop.db" in migrated.stdout) == (0, True)
    code = "from django.core.management import call_command; call_command('turnspit', 'jobs', 'show', '7')"
    assert "turnspit ended with exit code 1" in manage(folder, "shell", "-v0", "-c", code).stderr


def test_connections_are_closed_around_every_job(folder: Path) -> None:
    """``CONN_MAX_AGE`` is 0 by default: after a job its connection is closed, as after a request."""
    code = (
        "import threading\nfrom django.db import connection, connections\n"
        "from django.db.backends.signals import connection_created\n"
        "from asgiref.sync import sync_to_async\n"
        "from examples.django_shop.shop.jobs import app\n"
        "made = []\n"
        "connection_created.connect(lambda **_: made.append(threading.current_thread().name), weak=False)\n"
        "@app.task\ndef in_thread() -> None:\n    connection.cursor().execute('SELECT 1')\n"
        "@app.task\nasync def in_loop() -> None:\n    await sync_to_async(in_thread)()\n"
        "with app.worker(concurrency=1):\n"
        "    for task in (in_thread, in_thread, in_loop, in_loop):\n"
        "        task.enqueue().get_result(timeout=20)\n"
        "print(len(made))\n"
    )
    answer = manage(folder, "shell", "-v0", "-c", code)
    assert answer.stdout == "4\n", answer.stderr


WORKED_OFF = """
from django.test import TestCase, TransactionTestCase
from examples.django_shop.shop.jobs import app
from examples.django_shop.shop.orders import place_order
from turnspit.testing import override

class Committed(TransactionTestCase):
    def test_a_worker_does_it(self):
        order, job = place_order("ada@example.com")
        with app.worker():
            self.assertEqual(job.get_result(timeout=20), "confirmed to ada@example.com")
        app.jobs.delete(all=True)

class RolledBack(TestCase):
    def test_a_private_store_is_not_joined(self):
        with override(app) as t:
            place_order("ada@example.com")
            self.assertEqual(app.jobs.count(), 1)
        self.assertEqual(app.jobs.count(), 0)
"""


IN_NEW_PROCESSES = pytest.mark.skipif(
    django.VERSION < (6, 1), reason="Django before 6.1 cannot copy a file to a new process"
)
SPAWNED = [pytest.param(method, marks=IN_NEW_PROCESSES) for method in ("spawn", "forkserver")]


@pytest.mark.parametrize("processes", ["", "fork", *SPAWNED])
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_test_whose_worker_has_used_the_database_leaves_it_to_be_dropped(
    folder: Path, engine: str, processes: str
) -> None:
    add_django_app(folder, "more", "tests", WORKED_OFF)
    url = new_database() if engine == "postgres" else f"sqlite:///{folder}/shop.db"
    more = "INSTALLED_APPS.append('more')\n"
    if processes:
        more += f"import multiprocessing\nmultiprocessing.set_start_method({processes!r}, force=True)\n"
    write_settings(folder, url, more)
    for _ in range(2):
        answer = manage(folder, "test", "--noinput", *(["--parallel", "2"] if processes else []), "more")
        assert answer.returncode == 0, answer.stderr
        assert "Ran 2 tests" in answer.stderr


def test_a_copy_of_the_test_database_in_memory_gives_way_to_its_file(folder: Path) -> None:
    """As Django 6.1 makes both for each process of ``test --parallel`` that is not forked."""
    (folder / "test_shop_2.db").touch()
    code = (
        "from django.db import connection\nfrom examples.django_shop.shop.jobs import app\n"
        "connection.settings_dict['NAME'] = 'file:memorydb_default_2?mode=memory&cache=shared'\n"
        "connection.connect()\n"
        "print(connection.cursor().execute('PRAGMA database_list').fetchone()[2], app.engine.location)\n"
    )
    answer = manage(folder, "shell", "-v0", "-c", code)
    assert answer.stdout == f"{folder}/test_shop_2.db {folder}/test_shop_2.db\n", answer.stderr
