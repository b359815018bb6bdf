"""``turnspit migrate``: apply, print, look, check."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from examples.private_postgres import hold_port, port_of

from tests.cli.conftest import Cli

NEWEST = 1
NAME = "0001_initial"
PLAIN = "sqlite:///shop.db"


def test_it_makes_the_schema_once(cli: Cli, folder: Path) -> None:
    answer = cli("migrate", "shop:app")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"store {folder}/shop.db\napplied {NAME}\nschema {NEWEST} of {NEWEST}, up to date\n"
    answer = cli("migrate", PLAIN)
    assert answer.out == f"store {folder}/shop.db\nschema {NEWEST} of {NEWEST}, up to date\n"


def test_status_and_check_change_nothing(cli: Cli, folder: Path) -> None:
    before = sorted(folder.iterdir())
    answer = cli("migrate", PLAIN, "--status")
    assert (answer.code, answer.out) == (0, f"store {folder}/shop.db\nmissing {NAME}\nschema 0 of {NEWEST}\n")
    answer = cli("migrate", PLAIN, "--check")
    assert (answer.code, answer.out) == (1, f"store {folder}/shop.db\nmissing {NAME}\nschema 0 of {NEWEST}\n")
    assert sorted(folder.iterdir()) == before
    cli("migrate", PLAIN)
    assert cli("migrate", PLAIN, "--check").code == 0


def test_the_sql_makes_a_store_that_turnspit_takes(cli: Cli, folder: Path) -> None:
    answer = cli("migrate", PLAIN, "--sql")
    assert not (folder / "shop.db").exists()
    connection = sqlite3.connect(folder / "shop.db")
    connection.executescript(answer.out)
    connection.close()
    assert cli("migrate", PLAIN, "--check").code == 0
    assert cli("enqueue", "shop", "make_invoice", "order_id=7").code == 0


def test_json(cli: Cli, folder: Path) -> None:
    store = {"store": f"{folder}/shop.db", "newest": NEWEST}
    status = json.loads(cli("migrate", PLAIN, "--status", "--json").out)
    assert status == store | {"version": 0, "works_with": 0, "applied": [], "pending": [NAME]}
    done = json.loads(cli("migrate", PLAIN, "--json").out)
    assert done == store | {"version": NEWEST, "works_with": 1, "applied": [NAME], "pending": []}


def test_a_store_of_a_newer_release(cli: Cli, folder: Path) -> None:
    cli("migrate", PLAIN)
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("INSERT INTO turnspit_schema VALUES (99, 'future', 99, '')")
    connection.close()
    message = (
        f"turnspit: store {folder}/shop.db has schema 99, but this Turnspit knows {NEWEST}: upgrade "
        f"turnspit on this machine\n"
    )
    for words in (("migrate",), ("jobs", "list"), ("queues", "list"), ("dead", "groups"), ("jobs", "replay", "--all")):
        answer = cli(*words, PLAIN)
        assert (answer.code, answer.out, answer.err) == (2, "", message)
    answer = cli("migrate", PLAIN, "--check")
    assert answer.code == 1
    assert (
        f"schema 99 is newer than this Turnspit, which knows {NEWEST}: upgrade turnspit on this machine\n" in answer.out
    )
    answer = cli("enqueue", "shop", "make_invoice", "order_id=7")
    assert (answer.code, answer.err) == (2, message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((PLAIN, "--sql", "--check"), "--sql prints migrations and takes no --status or --check"),
        (
            ("sqlite:///away/shop.db",),
            "store {cwd}/away/shop.db cannot be made: its folder does not exist; create {cwd}/away first",
        ),
        (
            ("sqlite:///junk.db",),
            "store {cwd}/junk.db is not an SQLite database: check the URL (file is not a database)",
        ),
    ],
)
def test_what_cannot_be_migrated_is_one_line(cli: Cli, folder: Path, words: tuple[str, ...], message: str) -> None:
    (folder / "junk.db").write_text("this is no database " * 100)
    answer = cli("migrate", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"turnspit: {message.replace('{cwd}', str(folder))}\n"


@pytest.mark.parametrize(
    "words", [("migrate",), ("migrate", "--check"), ("jobs", "list"), ("queues", "pause", "--tag=a")]
)
def test_a_database_that_is_down_is_no_wrong_usage(cli: Cli, folder: Path, words: tuple[str, ...]) -> None:
    """So a script can tell what may be tried again from what never will do."""
    with closing(hold_port()) as nobody_listens:
        url = f"postgresql://shop@127.0.0.1:{port_of(nobody_listens)}/shop"
        (folder / "down.py").write_text(f"from turnspit import Turnspit\napp = Turnspit({url!r}, deadline=0.2)\n")
        answer = cli(*words, "down")
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert " cannot be reached: is the server running, and the URL right? (" in answer.err
