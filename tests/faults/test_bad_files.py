"""Files that cannot be used, that are damaged, or that go away: one clear line each, and no harm done."""

import codecs
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import wait_until
from tests.faults.fork import in_child
from turnspit import EngineUnavailable, Turnspit
from turnspit.engines.sqlite import doctor as sqlite_doctor
from turnspit.engines.sqlite.wal_owner import remove_foreign_wal
from turnspit.errors import EngineError
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")
NOBODY = 65534


def try_to_insert(url: str) -> str:
    app = Turnspit(url, deadline=2)
    try:
        return str(app.engine.write(app.engine.insert_job, NEW).id)
    except EngineUnavailable as error:
        return str(error)
    finally:
        app.close()


def what_is_wrong(url: str) -> str:
    return "\n".join(f"{subject}: {said}" for subject, is_well, said in Turnspit(url).engine.diagnose() if not is_well)


def as_somebody(action: Callable[..., str], *arguments: Any) -> str:
    """As a user whose rights count: root may do anything. Modules must be loaded before, they may be root's."""
    Turnspit("sqlite:////nonexistent/jobs.db").engine.schema_sql()
    codecs.lookup("ascii")

    def drop_rights() -> str:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        return action(*arguments)

    return in_child(drop_rights)


@pytest.fixture
def shared(folder: Path) -> Path:
    """The folder, where everybody may write."""
    folder.chmod(0o777)
    return folder


def test_a_read_only_file(url: str, path: Path, shared: Path) -> None:
    assert as_somebody(try_to_insert, url) == "1"
    path.chmod(0o444)
    why = f"jobs.db cannot be written: this user may not read and write {path}; give it the right"
    assert why in as_somebody(try_to_insert, url)
    assert why in as_somebody(what_is_wrong, url)
    for file in path.parent.glob("jobs.db*"):
        if file.is_file():  # SQLite gives its -wal and -shm the rights of the file
            file.chmod(0o644)
    assert as_somebody(try_to_insert, url) == "2"
    assert as_somebody(what_is_wrong, url) == ""


def test_a_log_of_another_user(url: str, path: Path, shared: Path) -> None:
    """As a process that died leaves it."""
    assert as_somebody(try_to_insert, url) == "1"
    log = Path(f"{path}-wal")
    log.touch(0o400)
    why = f"jobs.db cannot be written: this user may not read and write {log}; give it the right"
    assert why in as_somebody(try_to_insert, url)
    assert why in as_somebody(what_is_wrong, url)


def test_a_read_only_folder(url: str, path: Path, shared: Path) -> None:
    assert as_somebody(try_to_insert, url) == "1"
    shared.chmod(0o555)
    why = f"jobs.db cannot be written: this user may make no file in {shared}, as SQLite must; give it the right"
    assert why in as_somebody(try_to_insert, url)
    assert why in as_somebody(what_is_wrong, url)
    shared.chmod(0o777)
    assert as_somebody(try_to_insert, url) == "2"


def test_a_new_store_in_a_read_only_folder(url: str, folder: Path) -> None:
    folder.chmod(0o555)
    answer = as_somebody(try_to_insert, url)
    assert f"jobs.db cannot be written: this user may make no file in {folder}, as SQLite must" in answer
    folder.chmod(0o755)


def look_around(url: str) -> str:
    engine = Turnspit(url).engine
    try:
        engine.schema_status()
    except EngineUnavailable as error:
        return f"{error}\n{engine.diagnose()[-1][2]}"
    return "seen"


def test_a_folder_that_one_may_not_enter(url: str, folder: Path) -> None:
    folder.chmod(0o000)
    answers = as_somebody(try_to_insert, url), *as_somebody(look_around, url).splitlines()
    folder.chmod(0o755)
    why = f"store {folder}/jobs.db cannot be reached: this user may not enter its folder"
    assert [answer.partition(";")[0] for answer in answers] == [why] * 3


@pytest.mark.parametrize("content", [b"hello, world! " * 100, b"\x00" * 4096, b"x", b"buy milk\n"])
def test_a_file_that_is_no_database(url: str, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "jobs.db is not an SQLite database: check the URL" in try_to_insert(url)
    assert path.read_bytes() == content, "nothing was written into it"


def test_an_empty_file_is_a_new_store(url: str, path: Path) -> None:
    path.touch()
    assert try_to_insert(url) == "1"


def test_a_folder_instead_of_a_file(url: str, path: Path) -> None:
    path.mkdir()
    assert "jobs.db is a folder: name a file in it" in try_to_insert(url)


def test_a_damaged_file(url: str, path: Path) -> None:
    app = Turnspit(url)
    for _ in range(3):
        app.engine.write(app.engine.insert_jobs, [NEW] * 1000)
    app.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(EngineUnavailable, match=r"jobs.db is damaged: restore it from a backup, or see `sqlite3 FILE"):
        app.engine.read(app.engine.count_jobs, JobFilter(queue="default"))
    with pytest.raises(EngineUnavailable, match=r"jobs.db is damaged"):
        app.engine.write(app.engine.insert_job, NEW)
    assert not all(is_well for _, is_well, _ in app.engine.diagnose())
    app.close()


def test_tables_of_another_make(url: str, path: Path) -> None:
    """The name was taken: the statement's own words, not a traceback of SQLite."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE turnspit_jobs (something_else)")
    connection.close()
    app = Turnspit(url)
    with pytest.raises(EngineError, match="turnspit_jobs already exists"):
        app.engine.write(app.engine.insert_job, NEW)
    app.close()


@pytest.fixture
def running(url: str) -> Iterator[Turnspit]:
    """An app that has opened its store."""
    with Turnspit(url) as app:
        app.engine.write(app.engine.insert_job, NEW)
        yield app


def delete_store(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@pytest.mark.parametrize("everything", [False, True])
def test_a_deleted_file_swallows_no_jobs(
    running: Turnspit, path: Path, caplog: pytest.LogCaptureFixture, everything: bool
) -> None:
    """SQLite would go on writing into the deleted file, and the jobs would be gone with the process."""
    if everything:
        delete_store(path)
    else:
        path.unlink()
    engine = running.engine
    assert engine.write(engine.insert_job, NEW).id == 1
    assert "was moved or deleted while it was open" in caplog.text
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM turnspit_jobs").fetchone() == (1,)
    connection.close()
    assert engine.read(engine.count_jobs, JobFilter()) == 1


def test_a_file_put_in_its_place_is_used(running: Turnspit, url: str, path: Path, folder: Path) -> None:
    """As a restore from a backup does."""
    backup = folder / "backup.db"
    with sqlite3.connect(path) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    engine = running.engine
    engine.write(engine.insert_jobs, [NEW] * 5)
    delete_store(path)
    shutil.move(backup, path)
    assert engine.read(engine.count_jobs, JobFilter()) == 1
    assert engine.write(engine.insert_job, NEW).id == 2


def copy_by_sqlite(path: Path, backup: Path) -> None:
    """While the store is in use, also with commits that are only in its log."""
    source = sqlite3.connect(path)
    source.execute("VACUUM INTO ?", (str(backup),))
    source.close()


@pytest.mark.parametrize("killed", [False, True])
def test_a_backup_put_beside_the_log_of_the_file_before_it_is_refused(
    url: str, path: Path, folder: Path, killed: bool
) -> None:
    """SQLite would write the old pages over it: the backup would be the old file again, or damaged."""
    backup = folder / "backup.db"

    def fill() -> int:
        app = Turnspit(url)
        app.engine.write(app.engine.insert_job, NEW)
        copy_by_sqlite(path, backup)
        return len(app.engine.write(app.engine.insert_jobs, [NEW] * 500))

    with Turnspit(url) as app:
        if killed:
            in_child(fill)  # it ends without closing anything
        else:
            fill()
            app.engine.write(app.engine.insert_job, NEW)
        backup.replace(path)
        for _ in range(2):
            with pytest.raises(EngineUnavailable, match=r"was put in the place of another file, whose write-ahead log"):
                app.engine.read(app.engine.count_jobs, JobFilter())
        with pytest.raises(EngineUnavailable, match=r"was put in the place of another file"):
            app.engine.schema_status()
        [said] = [detail for subject, ok, detail in app.engine.diagnose() if subject == "file" and not ok]
        assert "was put in the place of another file" in said  # and not that it is damaged
        remove_foreign_wal(path)
        assert app.engine.read(app.engine.count_jobs, JobFilter()) == 1
        assert app.engine.write(app.engine.insert_job, NEW).id == 2
        remove_foreign_wal(path)  # its own log stays
        assert app.engine.read(app.engine.count_jobs, JobFilter()) == 2
        assert Path(f"{path}-wal").stat().st_size


def test_a_log_that_was_deleted_while_it_was_open_is_named_and_loses_nothing(url: str, path: Path) -> None:
    with Turnspit(url) as running:
        running.engine.write(running.engine.insert_jobs, [NEW] * 5)
        Path(f"{path}-wal").unlink()
        running.engine.write(running.engine.insert_job, NEW)
        look = f"from turnspit import Turnspit; print(Turnspit({url!r}).engine.diagnose())"
        said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
        assert "has lost its write-ahead log" in said
    with Turnspit(url) as app:
        assert app.engine.read(app.engine.count_jobs, JobFilter()) == 6


def test_who_comes_after_a_log_was_deleted_is_refused_and_begins_no_other_one(url: str, path: Path) -> None:
    """Although all that the log held is in the file: two logs with one index would write over each other's pages."""
    with Turnspit(url) as running:
        running.engine.write(running.engine.insert_jobs, [NEW] * 5)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA wal_checkpoint").fetchone()[0] == 0
            Path(f"{path}-wal").unlink()
            later = (
                "from turnspit import Turnspit\n"
                f"with Turnspit({url!r}) as app:\n"
                "    try:\n"
                "        app.migrate()\n"
                "    except Exception as error:\n"
                "        print(type(error).__name__, error)\n"
            )
            said = subprocess.run([sys.executable, "-c", later], capture_output=True, text=True, check=True).stdout
            assert said.startswith(f"EngineUnavailable store {path} has lost its write-ahead log: somebody deleted ")
            assert not Path(f"{path}-wal").exists()
    with Turnspit(url) as app:
        assert app.engine.read(app.engine.count_jobs, JobFilter()) == 5


def test_a_worker_says_that_its_log_was_deleted(url: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No call of its own fails, and a kill would lose what it has accepted since."""
    with Turnspit(url) as app:

        @app.task
        def answer() -> int:
            return 42

        with app.worker(lease=3, heartbeat=0.05) as embedded:
            worker = embedded._worker
            assert worker is not None
            assert answer.enqueue().get_result(timeout=10) == 42
            assert worker.troubles() == ()
            began = app.workers.list()[0].renewed_at
            wait_until(lambda: app.workers.list()[0].renewed_at != began, "a heartbeat")
            Path(f"{path}-wal").unlink()
            wait_until(lambda: worker.troubles() != (), "not ready")
            [said] = worker.troubles()
            assert answer.enqueue().get_result(timeout=10) == 42
    start = (
        f"store {path} has lost its write-ahead log: somebody deleted {path}-wal while this process had it open. Stop"
    )
    assert said.startswith(start)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [f"worker 1: {said}"]
    with Turnspit(url) as app:
        assert app.engine.read(app.engine.count_jobs, JobFilter()) == 2


def test_a_new_file_in_the_place_of_one_that_was_moved_away_is_pointed_out(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all looks well, and the jobs are elsewhere."""

    def advice(app: Turnspit) -> list[str]:
        return [said for subject, _, said in app.engine.diagnose() if "was running already" in said]

    with Turnspit(url) as app, app.worker():
        monkeypatch.setattr(sqlite_doctor, "age_of_process", lambda pid: 30.0)
        assert advice(app) == []
        monkeypatch.setattr(sqlite_doctor, "age_of_process", lambda pid: 3600.0)
        [said] = advice(app)
        assert said.startswith(f"{path} was made ")
        assert f" s ago, when the worker process {os.getpid()} was running already" in said
        monkeypatch.setattr(sqlite_doctor, "_RECENT", -1.0)
        assert advice(app) == []


def test_a_whole_store_copied_to_another_place_is_that_store(running: Turnspit, path: Path, folder: Path) -> None:
    """As a snapshot of the volume does it: file, log and what stands beside them."""
    running.engine.write(running.engine.insert_jobs, [NEW] * 5)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for file in (path, Path(f"{path}-wal")):
        shutil.copy(file, elsewhere)
    shutil.copytree(f"{path}-turnspit", elsewhere / "jobs.db-turnspit", ignore=shutil.ignore_patterns("*.sock"))
    with Turnspit(f"sqlite:///{elsewhere}/jobs.db") as copy:
        assert copy.engine.read(copy.engine.count_jobs, JobFilter()) == 6


def test_a_copy_without_the_log_lacks_the_newest_jobs_and_one_after_a_close_has_them(
    running: Turnspit, path: Path, folder: Path
) -> None:
    """Nothing in the copy can tell that there was a log: docs/guide/deploying.md says how to make a backup."""
    running.engine.write(running.engine.insert_jobs, [NEW] * 5)
    jobs = {}
    for how in ("alone", "by SQLite", "after a close"):
        copy = folder / f"{how}.db"
        if how == "by SQLite":
            copy_by_sqlite(path, copy)
        else:
            if how == "after a close":
                running.close()
                assert not Path(f"{path}-wal").exists()
            shutil.copy(path, copy)
        with Turnspit(f"sqlite:///{copy}") as app:
            jobs[how] = app.engine.read(app.engine.count_jobs, JobFilter())
    assert jobs == {"alone": 0, "by SQLite": 6, "after a close": 6}


def test_a_log_without_its_file_is_nobody_s(running: Turnspit, url: str, path: Path) -> None:
    """Whoever deletes the file alone, to begin anew, begins anew."""
    log = Path(f"{path}-wal")
    kept = log.read_bytes()
    running.close()
    path.unlink()
    log.write_bytes(kept)
    with Turnspit(url) as app:
        assert app.engine.write(app.engine.insert_job, NEW).id == 1
        assert app.engine.read(app.engine.count_jobs, JobFilter()) == 1


def test_a_worker_goes_on_in_the_new_file(url: str, path: Path) -> None:
    """Somebody deletes the store to begin anew, and forgets the worker that runs."""
    with Turnspit(url) as app:

        @app.task
        def answer() -> int:
            return 42

        with app.worker(lease=0.6, heartbeat=0.1):
            assert answer.enqueue().get_result(timeout=10) == 42
            delete_store(path)
            assert answer.enqueue().get_result(timeout=10) == 42
