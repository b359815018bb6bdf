"""The Django example as a reader would run it, and its own tests on both engines."""

import re
import subprocess
from pathlib import Path

import pytest
from tests.contrib.programs import manage, write_settings
from tests.examples.programs import run
from tests.postgres import new_database


def shop(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "examples.django_shop.manage", *words)


def test_an_order_and_its_job_are_stored_together_and_worked_off(tmp_path: Path) -> None:
    assert shop(tmp_path, "migrate").returncode == 0
    placed = shop(tmp_path, "place_order", "ada@example.com")
    assert (placed.stdout, placed.stderr) == ("order 1 accepted, job 1 is ready\n", "")
    refused = shop(tmp_path, "place_order", "nobody")
    assert refused.stderr == "CommandError: order refused: Enter a valid email address.\n"
    advice = " ".join(shop(tmp_path, "turnspit", "doctor").stdout.split())
    words = "start python -m examples.django_shop.manage turnspit worker"
    assert re.search(f"{words} [✔✘]", advice), "words that can be copied"
    worker = shop(tmp_path, "turnspit", "worker", "--until-empty")
    assert worker.returncode == 0, worker.stderr
    listed = shop(tmp_path, "turnspit", "jobs", "list")
    [line] = listed.stdout.splitlines()[1:]
    assert line.split()[:3] == ["1", "completed", "send_confirmation"]
    shown = shop(
        tmp_path,
        "shell",
        "-v0",
        "-c",
        "from examples.django_shop.shop.models import Order as O\nprint(O.objects.values())",
    )
    assert shown.stdout == "<QuerySet [{'id': 1, 'email': 'ada@example.com', 'confirmed': True}]>\n"


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_its_own_tests_see_their_jobs_and_roll_them_back(tmp_path: Path, engine: str) -> None:
    """Twice: nothing that the first run leaves is in the way of the second."""
    write_settings(tmp_path, f"sqlite:///{tmp_path}/shop.sqlite3" if engine == "sqlite" else new_database())
    for _ in range(2):
        answer = manage(tmp_path, "test", "--noinput", "examples.django_shop")
        assert "Ran 6 tests" in answer.stderr, answer.stderr
        assert answer.returncode == 0, answer.stderr
    assert not (tmp_path / "shop.sqlite3").exists(), "a test never touches the real database"
