"""The fixtures that every pytest finds where Turnspit is installed, and what they cost those who do not use them."""

from pathlib import Path

from tests.testing.projects import outcome, run_pytest, write

JOBS = """
from turnspit import Turnspit
app = Turnspit("sqlite:////nonexistent/shop.db")

@app.task
async def note(number: int) -> int:
    return number
"""
CONFTEST = """
import pytest
from jobs import app

@pytest.fixture(scope="session")
def turnspit_app():
    return app
"""
TESTS = """
import pytest
from jobs import app, note

@pytest.mark.parametrize("number", range(8))
def test_each_test_has_a_store_of_its_own(turnspit_store, number):
    assert turnspit_store.enqueued() == []
    assert note.enqueue(number).id == 1
    assert [job.get_result(timeout=0) for job in turnspit_store.drain()] == [number]

def test_the_fixture_is_the_app_s_store(turnspit_store):
    assert turnspit_store.app is app

def test_without_it_the_app_has_its_real_store():
    assert app.engine.location == "/nonexistent/shop.db"
"""


def test_a_project_that_uses_the_fixtures(tmp_path: Path) -> None:
    write(tmp_path, {"jobs.py": JOBS, "conftest.py": CONFTEST, "test_jobs.py": TESTS})
    answer = run_pytest(tmp_path)
    assert outcome(answer) == {"passed": 10}, answer.stdout


def test_the_same_project_in_parallel_processes(tmp_path: Path) -> None:
    write(tmp_path, {"jobs.py": JOBS, "conftest.py": CONFTEST, "test_jobs.py": TESTS})
    answer = run_pytest(tmp_path, "-n", "2")
    assert outcome(answer) == {"passed": 10}, answer.stdout


def test_a_missing_app_is_said_with_the_cure(tmp_path: Path) -> None:
    write(tmp_path, {"test_jobs.py": "def test_it(turnspit_store): ..."})
    answer = run_pytest(tmp_path)
    assert outcome(answer) == {"error": 1}
    assert "turnspit_store needs to know your app. Put this into conftest.py:" in answer.stdout
    assert "def turnspit_app():" in answer.stdout
    assert "Traceback" not in answer.stdout


def test_a_failing_assertion_points_at_the_test(tmp_path: Path) -> None:
    failing = (
        "from jobs import note\ndef test_it(turnspit_store):\n    turnspit_store.assert_enqueued(note, number=1)\n"
    )
    write(tmp_path, {"jobs.py": JOBS, "conftest.py": CONFTEST, "test_jobs.py": failing})
    answer = run_pytest(tmp_path)
    assert outcome(answer) == {"failed": 1}
    assert "test_jobs.py:3: AssertionError" in answer.stdout
    assert "assertions.py" not in answer.stdout
    assert "Nothing was enqueued." in answer.stdout


def test_the_fixtures_are_described(tmp_path: Path) -> None:
    answer = run_pytest(tmp_path, "--fixtures")
    assert "A private store for this test, on a clock that it owns" in answer.stdout
    assert "The app that ``turnspit_store`` gives a private store" in answer.stdout


def test_a_project_that_does_not_use_turnspit_does_not_import_it(tmp_path: Path) -> None:
    """Importing it takes about 150 ms, at every start of pytest."""
    test = """
import sys

def test_nothing_is_loaded(request):
    assert request.config.pluginmanager.get_plugin("turnspit") is not None
    assert [name for name in sys.modules if name.split(".")[0] in ("turnspit", "pydantic", "sqlite3")] == []
"""
    write(tmp_path, {"test_loaded.py": test})
    answer = run_pytest(tmp_path, "-p", "no:logfire")
    assert outcome(answer) == {"passed": 1}, answer.stdout
