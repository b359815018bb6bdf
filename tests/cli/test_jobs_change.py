"""``turnspit jobs replay | cancel | delete`` and ``turnspit dead``: by id, by filter, all; asked for at a terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.gate import Gate
from tests.cli.terminal import at_terminal
from turnspit import JobNotFound, JobState, Turnspit

DEAD, WAITING, DONE = (1, 2), (4, 5), (3,)


@pytest.fixture(autouse=True)
def _jobs(cli: Cli, work: Callable[[], None]) -> None:
    """Jobs 1 and 2 are dead, 3 is completed, 4 is ready and 5 scheduled."""
    cli("enqueue", "shop", "send_confirmation", "to=bob@down.example", "order_id=1")
    cli("enqueue", "shop", "charge_payment", 'order={"id": 2, "amount": 200}')
    cli("enqueue", "shop", "make_invoice", "order_id=3")
    work()
    cli("enqueue", "shop", "make_invoice", "order_id=4")
    cli("enqueue", "shop", "make_invoice", "order_id=5", "--delay", "1h", "--queue", "later")


def states(store: Turnspit) -> dict[int, str]:
    return {job.id: str(job.state) for job in store.jobs.list()}


def test_jobs_are_changed_by_id(cli: Cli, store: Turnspit) -> None:
    answer = cli("jobs", "replay", "shop", "1", "3")
    assert (answer.code, answer.out, answer.err) == (0, "jobs 1, 3 replayed\n", "")
    answer = cli("jobs", "cancel", "sqlite:///shop.db", "5", "--reason", "not wanted")
    assert (answer.code, answer.out, answer.err) == (0, "job 5 cancelled\n", "")
    answer = cli("jobs", "delete", "shop", "4", "--json")
    assert (answer.code, json.loads(answer.out), answer.err) == (0, {"deleted": 1, "errors": []}, "")
    assert states(store) == {1: "ready", 2: "dead", 3: "ready", 5: "cancelled"}
    assert store.jobs.get(5).reason == "not wanted"


def test_jobs_that_wait_for_a_time_run_now(cli: Cli, store: Turnspit) -> None:
    answer = cli("jobs", "run-now", "shop", "--queue", "later")
    assert (answer.code, answer.out, answer.err) == (0, "1 job made ready\n", "")
    answer = cli("jobs", "run-now", "shop", "--task", "make_invoice", "--json")
    assert json.loads(answer.out) == {"made_ready": 0, "errors": []}
    assert states(store)[5] == "ready"
    answer = cli("jobs", "run-now", "shop", "1")
    said = "turnspit: job 1 (send_confirmation) is dead and cannot be run now: only a waiting job can be\n"
    assert (answer.code, answer.err) == (1, said)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("replay", "shop", "99"), str(JobNotFound.of(99))),
        (
            ("replay", "shop", "4"),
            "job 4 (make_invoice) is ready and cannot be replayed: only a completed, cancelled or dead job can be",
        ),
        (("cancel", "shop", "1"), "job 1 (send_confirmation) is dead and cannot be cancelled: it has ended"),
    ],
)
def test_a_job_that_cannot_be_changed_is_one_line(cli: Cli, words: tuple[str, ...], message: str) -> None:
    answer = cli("jobs", *words)
    assert (answer.code, answer.out, answer.err) == (1, "", f"turnspit: {message}\n")


def test_one_that_cannot_be_changed_keeps_no_other_from_it(cli: Cli, store: Turnspit) -> None:
    answer = cli("jobs", "replay", "shop", "99", "1", "--json")
    assert answer.code == 1
    assert json.loads(answer.out) == {
        "replayed": 1,
        "errors": [{"id": 99, "error": str(JobNotFound.of(99))}],
    }
    assert store.jobs.get(1).state is JobState.READY


@pytest.mark.parametrize(
    ("words", "out", "changed"),
    [
        (("jobs", "replay", "--task", "charge_payment"), "1 job replayed\n", {2: "ready"}),
        (("jobs", "replay", "--error", "ConnectionError"), "1 job replayed\n", {1: "ready"}),
        (("jobs", "replay", "--state", "completed"), "1 job replayed\n", {3: "ready"}),
        (("jobs", "replay", "--all"), "2 jobs replayed\n", {1: "ready", 2: "ready"}),
        (("jobs", "cancel", "--queue", "later"), "1 job cancelled\n", {5: "cancelled"}),
        (("jobs", "cancel", "--all"), "2 jobs cancelled\n", {4: "cancelled", 5: "cancelled"}),
        (("jobs", "delete", "--args", "order_id=4"), "1 job deleted\n", {4: None}),
        (("jobs", "delete", "--all"), "5 jobs deleted\n", {1: None, 2: None, 3: None, 4: None, 5: None}),
        (("dead", "replay", "--args", "order_id=1"), "1 job replayed\n", {1: "ready"}),
        (("dead", "replay", "--all"), "2 jobs replayed\n", {1: "ready", 2: "ready"}),
    ],
)
def test_jobs_are_changed_by_filter(
    cli: Cli, store: Turnspit, words: tuple[str, ...], out: str, changed: dict[int, str | None]
) -> None:
    before: dict[int, str | None] = dict(states(store))
    answer = cli(*words[:2], "sqlite:///shop.db", *words[2:])
    assert (answer.code, answer.out, answer.err) == (0, out, "")
    assert states(store) == {job: state for job, state in (before | changed).items() if state}


def test_a_group_of_dead_letters_is_replayed(cli: Cli, store: Turnspit) -> None:
    groups = {group["task"]: group for group in json.loads(cli("dead", "groups", "shop", "--json").out)["groups"]}
    answer = cli("dead", "replay", "shop", "--group", groups["charge_payment"]["fingerprint"])
    assert (answer.code, answer.out) == (0, "1 job replayed\n")
    assert states(store) | {3: "", 4: "", 5: ""} == {1: "dead", 2: "ready", 3: "", 4: "", 5: ""}


def test_dead_letters_are_replayed_by_id(cli: Cli, store: Turnspit) -> None:
    assert cli("dead", "replay", "shop", "2", "1").out == "jobs 2, 1 replayed\n"
    assert states(store)[1] == states(store)[2] == "ready"


def test_no_match_is_said_and_changes_nothing(cli: Cli, store: Turnspit) -> None:
    before = states(store)
    answer = cli("jobs", "cancel", "shop", "--task", "other")
    assert (answer.code, answer.out, answer.err) == (0, "", "no job that can be cancelled matches\n")
    assert json.loads(cli("jobs", "cancel", "shop", "--task", "other", "--json").out) == {"cancelled": 0, "errors": []}
    assert states(store) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("delete", "shop"),
            "which jobs? Name their ids, give a filter (as --task or --error), or --all to delete all",
        ),
        (("delete", "shop", "1", "--all"), "name jobs by their ids or by a filter, not both"),
        (("delete", "shop", "1", "--task", "x"), "name jobs by their ids or by a filter, not both"),
        (
            ("replay", "shop", "--state", "ready"),
            "a ready job cannot be replayed: only completed, cancelled, dead ones can",
        ),
        (
            ("cancel", "shop", "--state", "dead"),
            "a dead job cannot be cancelled: only blocked, scheduled, held, ready, running ones can",
        ),
        (
            ("delete", "shop", "--state", "running"),
            (
                "a running job cannot be deleted: only blocked, scheduled, held, ready, completed, cancelled, "
                "dead ones can"
            ),
        ),
    ],
)
def test_an_unclear_wish_changes_nothing(cli: Cli, store: Turnspit, words: tuple[str, ...], message: str) -> None:
    before = states(store)
    answer = cli("jobs", *words)
    assert (answer.code, answer.out, answer.err) == (2, "", f"turnspit: {message}\n")
    assert states(store) == before


def test_at_a_terminal_the_count_is_shown_and_a_yes_awaited(store: Turnspit) -> None:
    before = states(store)
    code, shown = at_terminal("jobs", "delete", "shop", "--all", answer="n")
    assert (code, shown) == (1, "delete 5 jobs? [y/N]: n\nturnspit: nothing was changed\n")
    assert states(store) == before
    code, shown = at_terminal("jobs", "replay", "shop", "--all", answer="y")
    assert (code, shown) == (0, "replay 2 jobs? [y/N]: y\n2 jobs replayed\n")
    code, shown = at_terminal("jobs", "delete", "shop", "--all", "--yes")
    assert (code, shown) == (0, "5 jobs deleted\n")
    assert states(store) == {}


def test_ids_are_clear_enough_at_a_terminal() -> None:
    assert at_terminal("jobs", "replay", "shop", "1") == (0, "job 1 replayed\n")


def test_cancelling_a_running_job_asks_its_worker(cli: Cli, shop: Any, store: Turnspit, folder: Path) -> None:
    with Gate(folder) as gate, shop.app.worker(queues=["held"]):
        job = shop.hold_thread.using(queue="held").enqueue(gate.path)
        gate.wait_for_job()
        answer = cli("jobs", "cancel", "sqlite:///shop.db", job.id)
        assert (answer.code, answer.out) == (0, f"job {job.id} cancelled\n")
        assert answer.err == f"job {job.id} is running: its worker was asked to stop it\n"
        assert ", asked to stop" in cli("jobs", "show", "sqlite:///shop.db", job.id).out
        gate.open()
    assert store.jobs.get(job.id).state is JobState.COMPLETED
