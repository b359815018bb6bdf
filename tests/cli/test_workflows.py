"""``turnspit workflows``."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from turnspit import GiveUp, Turnspit
from turnspit.cli import workflows

STORE = "sqlite:///flows.db"


@pytest.fixture
def flows(folder: Path) -> Iterator[Turnspit]:
    """A store with one workflow that failed, and one that has not begun."""
    app = Turnspit(STORE)

    @app.task
    async def charge() -> None: ...

    @app.task
    async def print_invoice() -> None:
        raise GiveUp("no paper")

    @app.task
    async def ship() -> None: ...

    with app.workflow("fulfil") as flow:
        paid = flow.add(charge.new(), name="charge")
        flow.add(ship.new(), name="ship", after=[paid, flow.add(print_invoice.new(), name="invoice", after=[paid])])
    with app.worker():
        app.workflows.wait_ended(flow.id, 20)
    app.chain(charge.new(), ship.new(), name="later")
    yield app
    app.close()


@pytest.mark.usefixtures("flows")
def test_workflows_are_listed(cli: Cli) -> None:
    lines = [line.split() for line in cli("workflows", "list", STORE).out.splitlines()]
    assert [line[:7] for line in lines[1:]] == [
        ["2", "later", "running", "0", "2", "0", "0"],
        ["1", "fulfil", "failed", "3", "3", "1", "1"],
    ]
    page = cli("workflows", "list", STORE, "-n", 1)
    assert (page.out.splitlines()[1][0], page.err) == ("2", "1 workflow shown; the next ones: --after 2\n")
    assert cli("workflows", "list", STORE, "-n", 1, "--after", 2).out.splitlines()[1].startswith("1 ")
    assert cli("workflows", "list", STORE, "--after", "x").code == 2
    document = json.loads(cli("workflows", "list", STORE, "--running", "--json").out)
    assert [(each["name"], each["progress"]) for each in document["workflows"]] == [("later", 0.0)]
    assert "no workflows at" in cli("workflows", "list", STORE, "--name", "x").err


@pytest.mark.usefixtures("flows")
def test_a_workflow_larger_than_its_page_names_the_command_that_has_the_rest(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "_MOST", 2)
    said = cli("workflows", "show", STORE, 1).err
    assert said == f"the first 2 of 3 jobs; turnspit jobs list {STORE} --workflow 1 has the others\n"


@pytest.mark.usefixtures("flows")
def test_a_workflow_is_shown_with_its_jobs(cli: Cli) -> None:
    shown = cli("workflows", "show", STORE, 1).out
    assert shown.startswith("workflow 1  fulfil  failed\n")
    assert "3 of 3 jobs (100%)" in shown
    table, hints = shown.split("\n\n")[1:]
    rows = [line.split() for line in table.splitlines()[1:]]
    assert rows == [
        ["1", "charge", "charge", "completed", "1"],
        ["2", "invoice", "print_invoice", "dead", "1", "1"],
        ["3", "ship", "ship", "cancelled", "0", "1,", "2"],
    ]
    assert hints == f"→ turnspit jobs show {STORE} 2\n→ turnspit workflows replay {STORE} 1\n"
    assert cli("workflows", "show", STORE, 2).out.endswith(f"\n→ turnspit jobs show {STORE} 4\n")
    document = json.loads(cli("workflows", "show", STORE, 1, "--json").out)
    assert ([job["state"] for job in document["jobs"]], document["edges"]) == (
        ["completed", "dead", "cancelled"],
        [[1, 2], [1, 3], [2, 3]],
    )


def test_workflows_are_replayed_and_cancelled(cli: Cli, flows: Turnspit) -> None:
    assert cli("workflows", "replay", STORE, 1).out == "workflow 1 goes on: 2 jobs live again\n"
    assert cli("jobs", "list", STORE, "--workflow", 1, "--state", "blocked", "--json").out.count('"id"') == 1
    assert cli("jobs", "cancel", STORE, "--workflow", 1, "--state", "blocked", "--yes").out == "1 job cancelled\n"
    assert cli("workflows", "cancel", STORE, 2, "--reason", "no").out == "workflow 2 is cancelled, with 2 jobs\n"
    assert flows.workflows.get(2).reason == "no"
    answer = cli("workflows", "cancel", STORE, 2)
    assert (answer.code, "has ended" in answer.err) == (1, True)
    answer = cli("workflows", "show", STORE, "fulfil")
    assert (answer.code, "named by its id" in answer.err) == (2, True)
    answer = cli("workflows", "show", STORE, 99)
    assert (answer.code, "there is no workflow 99" in answer.err) == (1, True)
