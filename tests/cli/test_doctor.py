"""``turnspit doctor``: what is wrong with a store and its workers."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from turnspit.cli import doctor as command
from turnspit.cli.doctor_workers import Finding
from turnspit.engines.sqlite import doctor

PLAIN = "sqlite:///shop.db"


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
    assert [each["subject"] for each in document["findings"] if each["subject"] != "advice"] == [
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


@pytest.mark.parametrize(("fixed", "mark"), [((0, 0, 0), None), ((99, 0, 0), "!")])
def test_a_release_of_sqlite_with_a_fault_is_worth_a_look(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, fixed: tuple[int, int, int], mark: str | None
) -> None:
    monkeypatch.setattr(doctor, "_FIXED_RESET_BUG", fixed)
    monkeypatch.setattr(doctor, "_BACKPORTS", {})
    cli("migrate", PLAIN)
    lines = cli("doctor", PLAIN).out.splitlines()
    said = [line for line in lines if line[3:9] == "advice"]
    assert [line[0] for line in said] == ([] if mark is None else [mark])
    assert sum(line.startswith("✔  version") for line in lines) == 1


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
    first, said = json.loads(answer.out)["findings"][0], detail.replace("{cwd}", str(folder))
    assert (answer.code, first) == (1, {"subject": "file", "ok": False, "level": "fault", "detail": said})


def test_a_foreign_file_is_looked_at_and_left_as_it_is(cli: Cli, folder: Path) -> None:
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id)")
    connection.close()
    before = (folder / "shop.db").read_bytes()
    _, found = findings(cli)
    assert found["schema"] == (
        False,
        "there is no store here: was another one meant? If not, `turnspit migrate` makes it",
    )
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
            "no turn to write within 5 s (database is locked): this very process holds its write lock: a "
            "transaction of the application's, which is to end or to be passed as tx=, or a commit that the disk "
            "keeps waiting"
        ),
    )


def test_live_workers_are_named(cli: Cli, shop: object) -> None:
    with shop.app.worker(queues=["email"]):  # type: ignore[attr-defined]
        is_well, found = findings(cli)
    assert is_well
    said = found["workers"][1]
    assert said.startswith("1 live: ")
    assert said.endswith("#1 (email)")


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


def test_the_work_of_a_store_that_cannot_be_reached_is_not_waited_for(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(target: object) -> list[Finding]:
        raise AssertionError("it would wait for the store")

    monkeypatch.setattr(command, "_look_at_work", look)
    answer = cli("doctor", "postgresql://postgres@127.0.0.1:1/none", "--json")
    assert answer.code == 1
    assert [each["subject"] for each in json.loads(answer.out)["findings"]] == ["connection"]


def test_a_store_that_lacks_a_table_is_not_well(cli: Cli, folder: Path) -> None:
    cli("migrate", PLAIN)
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("DROP TABLE turnspit_pauses")
    connection.close()
    is_well, found = findings(cli)
    assert not is_well
    is_whole, said = found["schema"]
    assert not is_whole
    assert said.startswith("version 1, but without turnspit_pauses, which somebody dropped: restore a backup, for")
    assert "work" not in found


def test_what_stops_jobs_comes_first(cli: Cli, shop: object) -> None:
    app = shop.app  # type: ignore[attr-defined]
    with app.workflow("fulfil") as flow:
        first = flow.add(shop.make_invoice.using(delay=60).new(order_id=1))  # type: ignore[attr-defined]
        flow.add(shop.make_invoice.new(order_id=2), after=[first], on_failure="wait")  # type: ignore[attr-defined]
    app.jobs.cancel(first.id)
    cli("queues", "pause", "shop", "--queue", "default")
    lines = cli("doctor", "shop").out.splitlines()
    subjects = [line.split()[1] for line in lines[1:] if line[0] in "✘!✔" and line[3:9] != "advice"]
    assert subjects[:4] == ["workers", "paused", "workflows", "version"]
