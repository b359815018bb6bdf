"""``turnspit move``: to another store, and giving it up."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

OLD, NEW = "sqlite:///shop.db", "sqlite:///new.db"


@pytest.fixture
def jobs(cli: Cli) -> None:
    for number in ("1", "2"):
        assert cli("enqueue", "shop:app", "make_invoice", f"order_id={number}").code == 0


def enqueue(cli: Cli) -> Any:
    return cli("enqueue", "shop:app", "make_invoice", "order_id=3")


@pytest.mark.usefixtures("jobs")
def test_it_moves_and_says_what(cli: Cli, folder: Path) -> None:
    answer = cli("move", "shop:app", NEW)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[:2] == [f"from {folder}/shop.db", f"to   {folder}/new.db"]
    assert lines[2].split()[:3] == ["jobs", "2", "rows,"]
    assert len({row.index(" rows, checksum ") for row in lines[2:-1]}) == 1, "the figures stand below each other"
    assert lines[-1] == "moved: point the app's URL at the new store, and start its workers"
    assert json.loads(cli("jobs", "list", NEW, "--json").out)["jobs"][0]["id"] == 2
    document = json.loads(cli("move", OLD, NEW, "--json").out)
    assert document == {
        "source": f"{folder}/shop.db",
        "target": f"{folder}/new.db",
        "history": False,
        "was_done": True,
        "tables": {},
    }
    again = cli("move", OLD, NEW)
    assert (again.code, again.out.splitlines()[2:]) == (0, ["it was complete before"])
    frozen = f"store {folder}/shop.db has moved to {folder}/new.db: point the app's URL there"
    assert enqueue(cli).err == f"turnspit: {frozen}\n"
    doctor = cli("doctor", OLD, "--json")
    assert doctor.code == 1
    said = f"it has moved to {folder}/new.db: point the app's URL there"
    faults = [each for each in json.loads(doctor.out)["findings"] if not each["ok"]]
    assert [(each["subject"], each["detail"]) for each in faults] == [("move", said)], "and no worker is to be started"
    assert "waits for  its store: it has moved to " in cli("jobs", "show", OLD, 2).out


@pytest.mark.usefixtures("jobs")
def test_json_has_counts_and_checksums(cli: Cli) -> None:
    document = json.loads(cli("move", OLD, NEW, "--history", "--json").out)
    assert (document["history"], document["was_done"]) == (True, False)
    assert document["tables"]["jobs"]["rows"] == 2
    assert len(document["tables"]["history"]["checksum"]) == 16


@pytest.mark.usefixtures("jobs")
def test_it_can_be_given_up(cli: Cli, folder: Path, store: Any) -> None:
    store.engine.write(store.engine.freeze_store, "token", "elsewhere", False, "is frozen")
    answer = enqueue(cli)
    assert (answer.code, answer.err) == (1, f"turnspit: store {folder}/shop.db is frozen\n")
    answer = cli("move", OLD, "--thaw")
    assert (answer.code, answer.out) == (0, f"thawed {folder}/shop.db\n")
    assert enqueue(cli).code == 0
    answer = cli("move", OLD, "--thaw")
    assert (answer.code, answer.err) == (2, f"turnspit: {folder}/shop.db is in no move that could be given up\n")


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((OLD,), "where to? Name the new store"),
        ((OLD, NEW, "--thaw"), "--thaw takes only SOURCE"),
        (("sqlite:///missing.db", NEW), "there are no jobs at"),
        ((OLD, OLD), "cannot be moved to itself"),
        ((OLD, "redis://localhost"), "no engine for"),
        ((OLD, "sqlite:///away/new.db"), "its folder does not exist"),
        ((OLD, NEW, "--wait", "soon"), "--wait"),
    ],
)
def test_wrong_usage(cli: Cli, words: tuple[str, ...], message: str) -> None:
    answer = cli("move", *words)
    assert answer.code in (1, 2)
    assert (answer.out, answer.err.count("\n")) == ("", 1)
    assert message in answer.err
    assert enqueue(cli).code == 0
