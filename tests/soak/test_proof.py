"""Each sentence of the proof fails where it is broken, and a truthful story breaks none."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from soak.proof import prove
from soak.sentences import SENTENCES

STORY = """\
worker 1 0 10 100
worker 2 0 11 200
accepted 1 0 20 -
accepted 2 0 20 -
accepted 3 0 20 -
begun 1 1 30 100
ended 1 1 31 -
stored 1 1 32 completed
begun 2 1 40 100
killed 0 0 50 100
begun 2 2 60 200
ended 2 2 61 -
stored 2 2 62 completed
begun 3 1 70 200
ended 3 1 71 -
stored 3 1 72 dead
"""


class Told:
    """A store that says what a test lets it say."""

    def __init__(self) -> None:
        self.jobs: dict[int, list[Any]] = {
            1: ["history", 1, "charge", "completed", 1, 0, 1, "1", None],
            2: ["history", 2, "quick", "completed", 1, 1, 2, "2", None],
            3: ["jobs", 3, "quick", "dead", 1, 0, 1, None, None],
        }
        self.ends = [(2, 1, "crashed", 1, 55), (3, 1, "dead", 2, 72)]
        self.written = [(1,)]
        self.twice = False

    def finals(self) -> Iterable[tuple[Any, ...]]:
        rows = [tuple(job) for job in self.jobs.values()]
        return rows + rows[:1] if self.twice else rows

    def attempts(self) -> Iterable[tuple[Any, ...]]:
        return self.ends

    def effects(self) -> Iterable[tuple[Any, ...]]:
        return self.written


def broken(told: Told, folder: Path, story: str = STORY) -> dict[str, list[int]]:
    (folder / "1.ledger").write_text(story)
    return prove(folder, told).violations


def test_a_truthful_story_breaks_no_sentence(tmp_path: Path) -> None:
    (tmp_path / "1.ledger").write_text(STORY + "accepted 4 0 99")  # the last line was cut short by a kill
    proof = prove(tmp_path, Told())
    assert proof.holds
    assert proof.counts == dict.fromkeys(SENTENCES, 0)
    assert proof.figures["accepted"] == 3
    assert proof.figures["runs"] == 4
    assert proof.figures["claims rescued from dead workers"] == 1


@pytest.mark.parametrize(
    ("sentence", "line", "job"),
    [
        ("lost", "accepted 9 0 20 -", 9),
        ("doubled", "stored 2 3 80 completed", 2),
        ("ticks", "tick 1 1 31 1000000\ntick 2 2 61 1000000", 1),
        ("ticks", "tick 1 1 31 1000000\ntick 2 2 61 3000000", 2),
        ("overtaken", "booked 2 2 61 7\nbooked 1 1 62 7", 1),
        ("stale writes", "begun 1 2 80 200", 1),
        ("beside", "ended 1 1 95 -\nbegun 1 0 25 100\nended 1 0 31 -", 1),
    ],
)
def test_what_the_ledger_alone_knows(tmp_path: Path, sentence: str, line: str, job: int) -> None:
    assert broken(Told(), tmp_path, STORY + line + "\n")[sentence] == [job]


@pytest.mark.parametrize(
    ("sentence", "job", "column", "value"),
    [
        ("lost", 2, 3, "running"),
        ("stuck", 2, 3, "held"),
        ("stale writes", 2, 7, "1"),
        ("stale writes", 3, 3, "cancelled"),
        ("attempts", 2, 4, 2),
        ("attempts", 3, 4, 2),
        ("crashes", 2, 5, 0),
        ("crashes", 2, 5, 2),
        ("effects", 2, 2, "charge"),
        ("effects", 1, 2, "quick"),
        ("rolled back", 3, 2, "never"),
    ],
)
def test_what_the_store_says(tmp_path: Path, sentence: str, job: int, column: int, value: Any) -> None:
    told = Told()
    told.jobs[job][column] = value
    assert job in broken(told, tmp_path)[sentence]


def test_a_job_that_is_stored_twice(tmp_path: Path) -> None:
    told = Told()
    told.twice = True
    assert broken(told, tmp_path)["doubled"] == [1]


def test_a_worker_that_lost_its_jobs_although_nothing_befell_it(tmp_path: Path) -> None:
    assert broken(Told(), tmp_path, STORY.replace("killed 0 0 50 100", "killed 0 0 50 300"))["robbed"] == [2]


def test_an_effect_written_twice(tmp_path: Path) -> None:
    told = Told()
    told.written *= 2
    assert broken(told, tmp_path)["effects"] == [1]
