"""A server whose disk is full: calls say so, a worker keeps what ended, and it goes on once there is room."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.behaviour.support import Gate, wait_until
from tests.postgres import new_database, server
from turnspit import EngineUnavailable, Turnspit

FULL = "has no disk space left: free some, nothing acknowledged was lost"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 8 MB that belongs to the server."""
    folder = Path(tempfile.mkdtemp(prefix="turnspit-small-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", str(folder)]
    mount = subprocess.run(command, capture_output=True, text=True, check=False)
    if mount.returncode:
        folder.rmdir()
        pytest.skip(f"a small file system needs the right to mount one: {mount.stderr.strip()}")
    folder.chmod(0o755)
    (place := folder / "data").mkdir()
    owner = pwd.getpwuid(server(18).data.stat().st_uid)
    os.chown(place, owner.pw_uid, owner.pw_gid)
    yield place
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    shutil.rmtree(folder)


@pytest.fixture
def url(small_disk: Path) -> Iterator[str]:
    """A database whose tables come to lie there, and a large one that is in the way."""
    url, space = new_database(), f"small_{os.getpid()}"
    with psycopg.connect(server(18).url, autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE {space} LOCATION '{small_disk}'")
        admin.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_tablespace = {space}")
        yield url
        admin.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
        admin.execute(f"DROP TABLESPACE {space}")


def test_a_worker_keeps_its_finished_jobs_until_there_is_room(url: str, caplog: pytest.LogCaptureFixture) -> None:
    gate, ran = Gate(), []
    with Turnspit(url) as app, psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE ballast (content text STORAGE PLAIN)")

        @app.task
        def work(number: int) -> str:
            ran.append(number)
            gate.pass_through()
            return os.urandom(100_000).hex()

        @app.task(queue="later")
        def store(text: str) -> None: ...

        jobs = [work.enqueue(number) for number in range(3)]
        with app.worker(queues=["default"], concurrency=3):
            gate.wait_for(3)
            with contextlib.suppress(psycopg.errors.DiskFull):
                while True:
                    other.execute("INSERT INTO ballast VALUES (repeat('x', 7000))")
            accepted = []
            with contextlib.suppress(EngineUnavailable):
                while True:
                    accepted.append(store.enqueue(os.urandom(2000).hex()))
            with pytest.raises(EngineUnavailable, match=FULL):
                store.enqueue(os.urandom(2000).hex())
            gate.open()
            wait_until(lambda: "running jobs go on, what ends is kept" in caplog.text, "a word of the worker")
            assert {job.refresh().state for job in jobs} == {"running"}
            other.execute("DROP TABLE ballast")
            assert [len(job.get_result(timeout=20)) for job in jobs] == [200_000] * 3
        assert sorted(ran) == [0, 1, 2], "each ran once"
        assert [job.id for job in app.jobs.list(queue="later", limit=1000)][::-1] == [job.id for job in accepted]
