"""``turnspit doctor``: what is wrong with a store and its workers."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from turnspit.cli import diagnosis, output
from turnspit.cli.diagnosis import Finding, examine
from turnspit.clock import from_moment
from turnspit.engines.sqlite import doctor
from turnspit.records import Pause, QueueStats, TaskStats, WorkerRecord

PLAIN = "sqlite:///shop.db"
NOW = 1_900_000_000_000_000
MINUTE = 60_000_000


def findings(cli: Cli) -> tuple[bool, dict[str, tuple[bool, str]]]:
    answer = cli("doctor", PLAIN, "--json")
    document = json.loads(answer.out)
    assert answer.code == int(not document["ok"])
    return document["ok"], {each["subject"]: (each["ok"], each["detail"]) for each in document["findings"]}


def test_a_store_without_work_is_well(cli: Cli, folder: Path) -> None:
    cli("migrate", PLAIN)
    answer = cli("doctor", "shop:app")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == f"store {folder}/shop.db"
    assert "✔  schema       version 1, up to date" in lines
    assert "✔  workers      none is alive, and no job waits for one" in lines
    assert "✘" not in answer.out
    assert max(map(len, lines)) <= 80


def test_json_has_the_store_and_every_finding(cli: Cli, folder: Path) -> None:
    cli("migrate", PLAIN)
    document = json.loads(cli("doctor", PLAIN, "--json").out)
    assert (document["store"], document["ok"]) == (f"{folder}/shop.db", True)
    assert [each["subject"] for each in document["findings"]] == [
        "version",
        "file system",
        "schema",
        "integrity",
        "journal",
        "size",
        "lock",
        "disk",
        "workers",
    ]


def test_jobs_without_a_worker_are_wrong(cli: Cli) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    answer = cli("doctor", "shop")
    assert answer.code == 1
    assert "✘  workers       none is alive, with 1 job waiting: start turnspit worker shop\n" in answer.out


def test_a_store_that_is_not_there_is_said_and_not_made(cli: Cli, folder: Path) -> None:
    is_well, found = findings(cli)
    assert not is_well
    assert found["file"] == (
        False,
        (
            f"{folder}/shop.db does not exist yet: the first enqueue or worker makes it; was another working "
            f"directory meant?"
        ),
    )
    assert not (folder / "shop.db").exists()


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("junk.db", "store {cwd}/junk.db is not an SQLite database: check the URL (file is not a database)"),
        (".", "store {cwd} is a folder: name a file in it"),
    ],
)
def test_what_is_no_store_is_a_finding(cli: Cli, folder: Path, name: str, detail: str) -> None:
    (folder / "junk.db").write_text("this is no database " * 100)
    answer = cli("doctor", f"sqlite:///{name}", "--json")
    last = json.loads(answer.out)["findings"][-1]
    assert (answer.code, last) == (1, {"subject": "file", "ok": False, "detail": detail.replace("{cwd}", str(folder))})


def test_a_foreign_file_is_looked_at_and_left_as_it_is(cli: Cli, folder: Path) -> None:
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id)")
    connection.close()
    before = (folder / "shop.db").read_bytes()
    _, found = findings(cli)
    assert found["schema"] == (False, "version 0; run `turnspit migrate` for 0001_initial")
    assert "journal" not in found
    assert cli("jobs", "list", PLAIN).code == 2
    assert (folder / "shop.db").read_bytes() == before


@contextmanager
def transaction(folder: Path) -> Iterator[None]:
    connection = sqlite3.connect(folder / "shop.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.close()


def test_a_transaction_that_stays_open_is_found(cli: Cli, folder: Path) -> None:
    cli("migrate", PLAIN)
    with transaction(folder):
        is_well, found = findings(cli)
    assert not is_well
    assert found["lock"] == (
        False,
        (
            "no turn to write within 5 s (database is locked): another connection holds a transaction open: "
            "end it, or give "
            "it to enqueue as tx="
        ),
    )


def test_live_workers_are_named(cli: Cli, shop: object) -> None:
    with shop.app.worker(queues=["email"]):  # type: ignore[attr-defined]
        is_well, found = findings(cli)
    assert is_well
    said = found["workers"][1]
    assert said.startswith("1 live: ")
    assert said.endswith("#1 (email)")


def worker(number: int = 1, *, tasks: Sequence[str] = ("send",), queues: Sequence[str] | None = None, live: bool = True,
           stopped: int | None = None, expires: int = NOW + MINUTE, running: int = 0) -> WorkerRecord:  # fmt: skip
    return WorkerRecord(
        id=number,
        host="box",
        pid=40 + number,
        version="1",
        queues=None if queues is None else tuple(queues),
        tasks=tuple(tasks),
        concurrency=10,
        started_at=NOW - 60 * MINUTE,
        renewed_at=NOW - MINUTE,
        expires_at=expires,
        stopped_at=stopped,
        live=live,
        running=running,
    )


def task(name: str, *, ready: int = 0, scheduled: int = 0, held: int = 0, dead: int = 0) -> TaskStats:
    return TaskStats(name, ready, scheduled, held, 0, dead, None)


def queue(name: str, *, ready: int = 0, oldest: int | None = None) -> QueueStats:
    return QueueStats(
        queue=name,
        ready=ready,
        scheduled=0,
        retrying=0,
        held=0,
        running=0,
        dead=0,
        oldest_ready_at=oldest,
        completed_last_hour=0,
        failed_last_hour=0,
    )


@pytest.fixture
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "utc_now", lambda: from_moment(NOW))


@pytest.mark.usefixtures("_now")
@pytest.mark.parametrize(
    ("tasks", "queues", "workers", "expected"),
    [
        ([], [], [], [("workers", True, "none is alive, and no job waits for one")]),
        (
            [task("send", scheduled=2)],
            [],
            [],
            [("workers", False, "none is alive, with 2 jobs waiting: start turnspit worker shop:app")],
        ),
        (
            [task("send", ready=1)],
            [queue("email", ready=1, oldest=NOW - 5 * MINUTE), queue("rare", ready=1, oldest=NOW - 4 * MINUTE)],
            [worker(), worker(2, queues=["email", "slow"])],
            [
                ("workers", True, "2 live: box:41#1 (all queues), box:42#2 (email, slow)"),
                ("tasks", True, "a live worker knows the task of every waiting job"),
                ("oldest ready", True, "due 5 min ago in queue email"),
            ],
        ),
        (
            [task("old_name", ready=1, held=2), task("send", ready=1)],
            [],
            [worker()],
            [
                ("workers", True, "1 live: box:41#1 (all queues)"),
                (
                    "tasks",
                    False,
                    (
                        "no live worker knows old_name, with 3 jobs waiting: start a worker whose code "
                        "declares it (a "
                        "renamed task keeps its old name in aliases=), or turnspit jobs cancel shop:app --task old_name"
                    ),
                ),
                ("held", False, "until a worker comes that knows the task: 2 of old_name"),
            ],
        ),
        (
            [task("send", ready=4)],
            [queue("email", ready=1), queue("slow", ready=3), queue("quiet")],
            [worker(queues=["email"])],
            [
                ("workers", True, "1 live: box:41#1 (email)"),
                ("tasks", True, "a live worker knows the task of every waiting job"),
                ("queues", False, "no live worker serves slow, with 3 jobs ready: start one with --queues slow"),
            ],
        ),
        (
            [],
            [],
            [worker(live=False, expires=NOW - 1, running=8), worker(2)],
            [
                ("workers", True, "1 live: box:42#2 (all queues)"),
                (
                    "lost worker",
                    False,
                    "box:41#1 stopped renewing its lease 60 s ago with 8 jobs running: the others take its jobs back",
                ),
                ("tasks", True, "a live worker knows the task of every waiting job"),
            ],
        ),
        (
            [],
            [],
            [worker(live=False, expires=NOW - 1, running=1)],
            [
                ("workers", True, "none is alive, and no job waits for one"),
                (
                    "lost worker",
                    False,
                    (
                        "box:41#1 stopped renewing its lease 60 s ago with 1 job running: start a worker, "
                        "which takes its "
                        "jobs back"
                    ),
                ),
            ],
        ),
        (
            [task("send", dead=1200)],
            [],
            [
                worker(live=False, stopped=NOW - MINUTE, expires=NOW - 2 * MINUTE),
                worker(2, live=False, stopped=NOW, expires=NOW),
            ],
            [
                ("workers", True, "none is alive, and no job waits for one"),
                (
                    "lost worker",
                    True,
                    "1 died within the last hour, their jobs were rescued: box:41#1 60 s ago",
                ),
                ("dead letters", True, "1,200; see turnspit dead groups shop:app"),
            ],
        ),
    ],
    ids=["nothing", "no worker", "well", "unknown task", "unserved queue", "lost", "lost alone", "died"],
)
def test_what_jobs_and_workers_say(
    tasks: list[TaskStats],
    queues: list[QueueStats],
    workers: list[WorkerRecord],
    expected: list[tuple[str, bool, str]],
) -> None:
    assert list(examine(tasks, queues, workers, "shop:app ")) == [Finding(*each) for each in expected]


def test_releases_that_work_side_by_side_are_named() -> None:
    workers = [worker(1), worker(2), replace(worker(3), version="9.0")]
    found = [finding for finding in examine([], [], workers) if finding.subject == "versions"]
    said = "several releases work at once: 1 (2 workers), 9.0 (1 worker); that is fine while you deploy"
    assert found == [Finding("versions", True, said)]


def test_a_clock_that_was_set_back_and_a_file_that_is_mostly_empty(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("migrate", PLAIN)
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute(
            "INSERT INTO turnspit_workers (host, pid, version, tasks, concurrency, started_at, renewed_at, expires_at, "
            "gapless_since) SELECT 'box', 1, '1', '[]', 1, soon, soon, soon, soon FROM "
            "(SELECT CAST((julianday('now') - 2440587.5) * 86400 + 3600 AS INTEGER) * 1000000 AS soon)"
        )
        connection.execute("CREATE TABLE filler AS SELECT zeroblob(2000000) AS content")
        connection.commit()
        connection.execute("DROP TABLE filler")
    connection.close()
    monkeypatch.setattr(doctor, "_MUCH_FREE", 1_000_000)
    _, found = findings(cli)
    assert not found["clock"][0]
    assert found["clock"][1].startswith("a worker renewed its lease ")
    assert "this machine's clock was set back since" in found["clock"][1]
    assert not found["size"][0]
    assert found["size"][1].endswith(" are free for what comes: VACUUM gives them back, while nobody else writes")


def test_many_names_are_cut() -> None:
    said = next(iter(examine([], [], [worker(number) for number in range(1, 9)]))).detail
    assert said.endswith("box:45#5 (all queues) and 3 more")
    assert diagnosis.__all__ == ["Finding", "examine", "examine_move"]


@pytest.mark.usefixtures("_now")
def test_pauses_are_named_and_explain_held_jobs() -> None:
    pauses = [Pause("queue", "email", NOW - 5 * MINUTE), Pause("task", "send", NOW - 4 * MINUTE)]
    found = {finding.subject: finding for finding in examine([task("send", held=2)], [], [worker()], pauses=pauses)}
    assert not found["paused"].ok
    assert found["paused"].detail == (
        "queue email since 5 min ago, task send since 4 min ago: their jobs wait for turnspit queues resume"
    )
    assert "held" not in found
