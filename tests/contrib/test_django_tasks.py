"""``django.tasks`` with Turnspit behind it; before Django 6.0 its backport ``django_tasks``."""

from pathlib import Path

import pytest

from tests.contrib.databases import django_database
from tests.contrib.programs import manage
from tests.postgres import new_database

TASKS = "tests.contrib.mail.tasks"


def write_project(folder: Path, url: str, more: str = "") -> None:
    """The settings of tests/contrib/mail with this database."""
    database = f"DATABASES = {{'default': {django_database(url)!r}}}"
    (folder / "project.py").write_text(f"from tests.contrib.mail.settings import *\n{database}\n{more}")


@pytest.fixture(params=["sqlite", "postgres"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    write_project(tmp_path, new_database() if request.param == "postgres" else f"sqlite:///{tmp_path}/mail.db")
    return tmp_path


def ask(folder: Path, code: str) -> str:
    """What this code prints in the project's shell."""
    answer = manage(folder, "shell", "-v0", "-c", code)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_projects_own_tests(folder: Path) -> None:
    answer = manage(folder, "test", "--noinput", "tests.contrib.mail")
    assert answer.returncode == 0, answer.stderr
    assert "Ran 31 tests" in answer.stderr


def test_a_worker_process_works_it_off(folder: Path) -> None:
    enqueue = f"from {TASKS} import *\nprint(*(t.enqueue().id for t in (find_process, refuse_once, send_many)))"
    ids = ask(folder, enqueue).split()
    worker = manage(folder, "turnspit", "worker", "--until-empty")
    assert worker.returncode == 0, worker.stderr
    assert f"Task id={ids[1]} path={TASKS}.refuse_once state=FAILED" in worker.stderr
    look = (
        f"from tests.contrib.mail.jobs import app\nfrom {TASKS} import *\n"
        f"alone, refused, sent = (t.get_result(i) for t, i in zip((find_process, refuse_once, send_many), {ids}))\n"
        "print(f':{alone.return_value}#' in alone.worker_ids[0], alone.worker_ids == refused.worker_ids)\n"
        "print(refused.status, refused.errors[0].traceback.splitlines()[-1], sent.return_value)\n"
        "print(app.jobs.list(state='dead')[0].task)\n"
    )
    assert ask(folder, look) == "False True\nFAILED ValueError: never {'to': []}\n" + f"{TASKS}.refuse_once\n"


def test_a_project_without_turnspit_is_told(tmp_path: Path) -> None:
    write_project(tmp_path, f"sqlite:///{tmp_path}/mail.db", "INSTALLED_APPS.remove('turnspit.contrib.django')")
    code = f"from {TASKS} import *\nprint(*send_many.get_backend().check())\nsend_many.enqueue()"
    answer = manage(tmp_path, "shell", "-c", code)
    assert "(turnspit.E001) TASKS names Turnspit's back end, but" in answer.stdout
    assert "ImproperlyConfigured: TASKS names Turnspit's back end, but" in answer.stderr


def test_a_project_without_a_database_has_isolated_tasks_in_its_tests(tmp_path: Path) -> None:
    write_project(tmp_path, f"sqlite:///{tmp_path}/mail.db", "DATABASES = {}\nTURNSPIT['DATABASE'] = None")
    code = (
        "import subprocess, sys\nfrom django.core import mail\n"
        "from turnspit.contrib.django.child_processes import name_databases_of_tests\n"
        "mail.outbox = []\nname_databases_of_tests()\n"
        "code = 'from turnspit.contrib.django.child_processes import set_up; set_up(); print(1)'\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True))"
    )
    assert "stdout='1\\n'" in ask(tmp_path, code)
