"""``turnspit dead groups`` and ``turnspit queues list`` at 80 and 140 columns, and as JSON."""

import json
import re
from collections.abc import Callable

import pytest

from tests.cli.conftest import Cli
from turnspit.cli import dead


@pytest.fixture(autouse=True)
def _jobs(cli: Cli, work: Callable[[], None]) -> None:
    for number in (1, 2):
        cli("enqueue", "shop", "send_confirmation", "to=bob@down.example", f"order_id={number}")
    cli("enqueue", "shop", "charge_payment", 'order={"id": 3, "amount": 200}')
    cli("enqueue", "shop", "make_invoice", "order_id=4")
    cli("enqueue", "shop", "make_invoice", "order_id=-5")
    work()
    cli("enqueue", "shop", "make_invoice", "order_id=6", "--queue", "a-queue-with-a-very-long-name-indeed")


@pytest.mark.usefixtures("later")
def test_dead_groups_at_80_columns(cli: Cli) -> None:
    answer = cli("dead", "groups", "shop")
    first, second = re.findall(r"\b[0-9a-f]{12}\b", answer.out)
    assert answer.out.replace(first, "F" * 12).replace(second, "S" * 12).splitlines() == [
        "COUNT  GROUP         TASK               LAST       ERROR",
        "    2  FFFFFFFFFFFF  send_confirmation  3 min ago  ConnectionError: no route fo…",
        "    1  SSSSSSSSSSSS  charge_payment     3 min ago  GiveUp: card declined",
    ]
    assert answer.err == f"3 dead letters; replay a group: turnspit dead replay shop --group {first}\n"


def test_dead_groups_as_json(cli: Cli) -> None:
    groups = json.loads(cli("dead", "groups", "shop", "--json").out)["groups"]
    assert list(groups[0]) == [
        "fingerprint",
        "task",
        "error_type",
        "message",
        "count",
        "newest_id",
        "first_at",
        "last_at",
    ]
    assert [(group["task"], group["error_type"], group["count"], group["newest_id"]) for group in groups] == [
        ("send_confirmation", "ConnectionError", 2, 2),
        ("charge_payment", "GiveUp", 1, 3),
    ]


def test_dead_groups_of_one_task(cli: Cli) -> None:
    groups = json.loads(cli("dead", "groups", "shop", "--task", "charge_payment", "--json").out)["groups"]
    assert [group["task"] for group in groups] == ["charge_payment"]
    answer = cli("dead", "groups", "shop", "--task", "other")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("no dead letters at ")


@pytest.mark.usefixtures("later")
def test_the_largest_groups_are_shown_and_how_to_see_all(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = cli("dead", "groups", "shop", "--limit", "1")
    assert [line.split()[0] for line in answer.out.splitlines()] == ["COUNT", "2"]
    assert answer.err.startswith("1 of 2 groups shown; --limit 2 shows all\n3 dead letters; replay a group: ")
    assert len(json.loads(cli("dead", "groups", "shop", "--limit", "1", "--json").out)["groups"]) == 1
    monkeypatch.setattr(dead, "_MOST", 1)
    assert cli("dead", "groups", "shop").out == answer.out
    assert len(json.loads(cli("dead", "groups", "shop", "--json").out)["groups"]) == 2
    assert cli("dead", "groups", "shop", "--limit", "0").code == 2


@pytest.mark.usefixtures("later")
def test_queues_at_80_columns(cli: Cli) -> None:
    answer = cli("queues", "list", "shop")
    assert answer.out.splitlines() == [
        "QUEUE          READY SCHEDULED RETRYING HELD RUNNING DEAD DONE FAILED OLDEST",
        "a-queue-with-…     1         ·        ·    ·       ·    ·    ·      · 3 min ago",
        "default            ·         ·        1    ·       ·    ·    1      1",
        "email              ·         ·        ·    ·       ·    2    ·      4",
        "payments           ·         ·        ·    ·       ·    1    ·      1",
    ]
    assert answer.err == "DONE and FAILED count the last hour; OLDEST: since when a ready job waits\n"
    assert max(map(len, answer.out.splitlines())) <= 80


@pytest.mark.usefixtures("later")
def test_queues_at_50_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither names nor numbers are cut."""
    monkeypatch.setenv("COLUMNS", "50")
    assert cli("queues", "list", "shop").out.splitlines() == [
        "a-queue-with-a-very-long-name-indeed",
        "  READY 1, OLDEST 3 min ago",
        "default",
        "  RETRYING 1, DONE 1, FAILED 1",
        "email",
        "  DEAD 2, FAILED 4",
        "payments",
        "  DEAD 1, FAILED 1",
    ]
    monkeypatch.setenv("COLUMNS", "20")
    assert cli("queues", "list", "shop").out.splitlines()[:3] == [
        "a-queue-with-a-very-long-name-indeed",
        "  READY 1,",
        "  OLDEST 3 min ago",
    ]


@pytest.mark.parametrize("words", [("queues", "list", "shop"), ("dead", "groups", "shop"), ("--help",)])
def test_no_color_is_no_escape_at_all_whatever_force_color_says(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    answer = cli(*words)
    assert "\x1b" not in answer.out + answer.err
    monkeypatch.delenv("NO_COLOR")
    if words != ("--help",):  # which asks the terminal alone
        assert "\x1b[1m" in cli(*words).out


@pytest.mark.usefixtures("later")
def test_queues_at_140_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    lines = cli("queues", "list", "shop").out.splitlines()
    assert lines[1].split() == ["a-queue-with-a-very-long-name-indeed", "1", *"·······", "3", "min", "ago"]


def test_pauses_of_queues_tasks_and_tags(cli: Cli) -> None:
    assert cli("queues", "pause", "shop", "--queue", "email").out == "queue email is paused; running jobs run on\n"
    assert cli("queues", "pause", "shop", "--queue", "email").out == "queue email was paused already\n"
    assert cli("queues", "pause", "sqlite:///shop.db", "--tag", "import").code == 0
    said = cli("queues", "list", "shop").err.splitlines()[1:]
    assert [line.rpartition(", ")[0] for line in said] == ["paused: queue email", "paused: tag import"]
    paused = json.loads(cli("queues", "list", "shop", "--json").out)["paused"]
    assert [(each["kind"], each["name"]) for each in paused] == [("queue", "email"), ("tag", "import")]
    assert cli("queues", "resume", "shop", "--queue", "email").out == "queue email goes on\n"
    assert cli("queues", "resume", "shop", "--task", "send").out == "task send was not paused\n"
    answer = cli("queues", "pause", "shop")
    assert (answer.code, "name what is meant: one of --queue, --task and --tag" in answer.err) == (2, True)


def test_a_pause_of_what_nobody_knows_is_pointed_out(cli: Cli) -> None:
    """Somebody who stops a bad deploy at night may have mistyped."""
    answer = cli("queues", "pause", "shop", "--queue", "defualt")
    assert (answer.code, answer.out) == (0, "queue defualt is paused; running jobs run on\n")
    assert answer.err == (
        "no job is in it now and no worker names it: if queue defualt is not what was meant, resume it\n"
    )
    assert cli("queues", "pause", "shop", "--queue", "default").err == ""
    assert cli("queues", "pause", "shop", "--tag", "import").err == ""


def test_queues_as_json(cli: Cli) -> None:
    queues = json.loads(cli("queues", "list", "sqlite:///shop.db", "--json").out)["queues"]
    by_name = {queue["queue"]: queue for queue in queues}
    assert list(by_name["default"]) == [
        "queue",
        "ready",
        "scheduled",
        "retrying",
        "held",
        "running",
        "dead",
        "completed_last_hour",
        "failed_last_hour",
        "oldest_ready_at",
        "oldest_seconds",
        "latency_seconds",
        "throughput_per_second",
        "slots",
    ]
    assert by_name["email"] | {"oldest_ready_at": None} == by_name["email"]
    assert (by_name["email"]["dead"], by_name["email"]["failed_last_hour"]) == (2, 4)


def test_no_name_looks_like_another_row(cli: Cli) -> None:
    """Any program that may enqueue chooses the queue's name."""
    cli("enqueue", "shop", "make_invoice", "order_id=6", "--queue", "a\n99  dead")
    assert "a\\n99  dead" in cli("queues", "list", "shop").out
    assert not [line for line in cli("jobs", "list", "shop").out.splitlines() if line.strip().startswith("99")]
