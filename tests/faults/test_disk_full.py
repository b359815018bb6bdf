"""A full disk: the error is clear, what was acknowledged stays, and it goes on once there is space."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.support import wait_until
from turnspit import EngineUnavailable, Turnspit
from turnspit.contract.verbs import Verb
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

SMALL = NewJob("send", "default", "{}")
LARGE = NewJob("send", "default", '"' + "x" * 200_000 + '"')
FULL = r"jobs.db cannot grow: the disk is full; free some space, nothing acknowledged was lost"


@pytest.fixture
def engine(path: Path) -> Iterator[SqliteEngine]:
    engine = SqliteEngine(path)
    engine.write(engine.insert_job, SMALL)
    yield engine
    engine.close()


def limit_pages(engine: SqliteEngine, more: int | None) -> None:
    """Let the file grow by so many pages and no more; ``None``: as it likes. SQLite then says what a full disk says."""

    def verb() -> Verb[None]:
        connection = engine._opened().writer.connection
        assert connection is not None
        used = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {1_000_000 if more is None else used + more}")
        return
        yield

    engine.write(verb)


def stored(engine: SqliteEngine) -> list[int]:
    return [record.id for record in engine.read(engine.list_jobs, JobFilter(), 1000, None)][::-1]


def test_a_call_that_finds_no_room_fails_alone(engine: SqliteEngine) -> None:
    limit_pages(engine, 3)
    with pytest.raises(EngineUnavailable, match=FULL):
        engine.write(engine.insert_job, LARGE)
    assert stored(engine) == [1]
    assert engine.write(engine.insert_job, SMALL).id == 2
    limit_pages(engine, None)
    assert engine.write(engine.insert_job, LARGE).id == 3
    assert stored(engine) == [1, 2, 3]


@pytest.mark.parametrize("place", [0, 1, 10, 19])
def test_a_full_disk_takes_only_those_of_a_group_that_have_no_room(engine: SqliteEngine, place: int) -> None:
    """It rolls the whole transaction back under us: the others are run again, each alone."""
    limit_pages(engine, 20)
    jobs = [SMALL] * 20
    jobs[place] = LARGE

    async def enqueue() -> list[object]:
        calls = (engine.awrite(engine.insert_job, job) for job in jobs)
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(enqueue())
    assert isinstance(answers.pop(place), EngineUnavailable)
    ids = [answer.id for answer in answers]  # type: ignore[attr-defined]
    assert stored(engine) == [1, *ids] == sorted({1, *ids})


def test_a_full_disk_under_load_loses_nothing_that_was_acknowledged(engine: SqliteEngine) -> None:
    limit_pages(engine, 40)

    async def enqueue() -> list[object]:
        job = NewJob("send", "default", '"' + "x" * 3000 + '"')
        calls = (engine.awrite(engine.insert_job, job) for _ in range(300))
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(enqueue())
    accepted = [answer.id for answer in answers if not isinstance(answer, BaseException)]  # type: ignore[attr-defined]
    assert 0 < len(accepted) < 300
    assert all(isinstance(answer, EngineUnavailable) for answer in answers if isinstance(answer, BaseException))
    assert stored(engine) == sorted([1, *accepted])
    limit_pages(engine, None)
    assert engine.write(engine.insert_job, SMALL).id > max(accepted)


def test_a_worker_keeps_its_finished_jobs_until_there_is_room(path: Path) -> None:
    """A job's result finds no room: the worker says so, keeps it, and stores it later. It runs once."""
    app = Turnspit(f"sqlite:///{path}")
    ran: list[int] = []

    @app.task
    def work(number: int) -> str:
        ran.append(number)
        return "x" * 200_000

    with app:
        engine = app.engine
        assert isinstance(engine, SqliteEngine)
        jobs = [work.enqueue(number) for number in range(3)]
        limit_pages(engine, 10)
        with app.worker(concurrency=3):
            wait_until(lambda: len(ran) == 3, "run")
            assert {job.refresh().state for job in jobs} == {"running"}
            limit_pages(engine, None)
            assert [len(job.get_result(timeout=10)) for job in jobs] == [200_000] * 3
        assert sorted(ran) == [0, 1, 2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"a small file system needs the right to mount one: {mount.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(engine: SqliteEngine) -> list[int]:
    """Enqueue until there is no room; the jobs that were accepted."""
    accepted: list[int] = []
    job = NewJob("send", "default", '"' + "x" * 30_000 + '"')
    with contextlib.suppress(EngineUnavailable):
        while True:
            accepted.append(engine.write(engine.insert_job, job).id)
    return accepted


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    """Not only the file but also its WAL finds no room."""
    engine = SqliteEngine(small_disk / "jobs.db")
    accepted = fill(engine)
    assert len(accepted) > 3
    for _ in range(3):
        with pytest.raises(EngineUnavailable, match=FULL):
            engine.write(engine.insert_job, LARGE)
        assert stored(engine) == accepted, "reading goes on"
    engine.close()
    assert stored(engine) == accepted
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert engine.write(engine.insert_job, LARGE).id == accepted[-1] + 1
    assert all(is_well for subject, is_well, _ in engine.diagnose() if subject != "disk")
    engine.close()


def test_doctor_takes_a_full_disk_for_no_lock(small_disk: Path) -> None:
    engine = SqliteEngine(small_disk / "jobs.db")
    (small_disk / "jobs.db").touch()
    with contextlib.suppress(OSError):
        (small_disk / "filler").write_bytes(b"x" * 2_000_000)
    found = {subject: said for subject, is_well, said in engine.diagnose() if not is_well}
    assert found["file"].startswith(f"store {small_disk}/jobs.db cannot grow: the disk is full")
    assert "lock" not in found


def test_a_file_system_that_became_read_only(small_disk: Path) -> None:
    """Also root may not write there."""
    engine = SqliteEngine(small_disk / "jobs.db")
    engine.write(engine.insert_job, SMALL)
    engine.close()
    why = "jobs.db cannot be written: its file system is mounted read-only"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(EngineUnavailable, match=why):
        engine.write(engine.insert_job, SMALL)
    assert [subject for subject, is_well, said in engine.diagnose() if not is_well and why in said] == ["file"]
    engine.close()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert engine.write(engine.insert_job, SMALL).id == 2
    engine.close()
