"""``turnspit enqueue``: arguments as a person types them, options, and what is refused."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from turnspit import Turnspit


def test_pairs_become_the_arguments_that_the_signature_wants(cli: Cli, store: Turnspit) -> None:
    answer = cli("enqueue", "shop:app", "send_confirmation", "to=7", "order_id=7")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "job 1 (send_confirmation) is ready in queue email\n"
    assert store.jobs.get(1).args == {"to": "7", "order_id": 7}


def test_a_value_may_be_json(cli: Cli, store: Turnspit) -> None:
    assert cli("enqueue", "shop", "charge_payment", 'order={"id": 7, "amount": 1.5}').code == 0
    assert store.jobs.get(1).args == {"order": {"id": 7, "amount": 1.5}}


def test_arguments_may_be_one_json_object(cli: Cli, store: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("enqueue", "shop", "send_confirmation", "--args", '{"to": "a=b", "order_id": 7}').code == 0
    assert cli("enqueue", "shop", "send_confirmation", "order_id=8", "--args", '{"to": "x", "order_id": 7}').code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO('{"order_id": 9}'))
    assert cli("enqueue", "shop", "make_invoice", "--args", "-").code == 0
    assert [job.args for job in store.jobs.list()] == [
        {"order_id": 9},
        {"to": "x", "order_id": 8},
        {"to": "a=b", "order_id": 7},
    ]


def test_options_are_kept_with_the_job(cli: Cli, store: Turnspit) -> None:
    words = (
        "--queue",
        "slow",
        "--priority",
        "-5",
        "--tag",
        "a",
        "--tag",
        "b",
        "--metadata",
        "by=ada",
        "--timeout",
        "2m",
    )
    document = json.loads(cli("enqueue", "shop", "make_invoice", "order_id=7", *words, "--json").out)
    chosen = {name: document[name] for name in ("id", "state", "queue", "priority", "tags", "metadata", "timeout")}
    assert chosen == {
        "id": 1,
        "state": "ready",
        "queue": "slow",
        "priority": -5,
        "tags": ["a", "b"],
        "metadata": {"by": "ada"},
        "timeout": 120.0,
    }
    job = store.jobs.get(1)
    assert (job.queue, job.priority, job.tags, job.timeout) == ("slow", -5, ("a", "b"), timedelta(minutes=2))


def test_a_command_that_is_repeated_stores_one_job(cli: Cli, store: Turnspit) -> None:
    """As by cron on two machines."""
    words = ("shop", "make_invoice", "order_id=7", "--idempotency-key", "order 7")
    assert cli("enqueue", *words).out == "job 1 (make_invoice) is ready in queue default\n"
    assert cli("enqueue", *words).out == "job 1 (make_invoice) was stored before, and is ready in queue default\n"
    assert json.loads(cli("enqueue", *words, "--json").out)["created"] is False
    cli("enqueue", "shop", "make_invoice", "order_id=8")

    by_key = ("shop", "--task", "make_invoice", "--idempotency-key", "order 7")
    assert [job["id"] for job in json.loads(cli("jobs", "list", *by_key, "--json").out)["jobs"]] == [1]
    cli("jobs", "cancel", *by_key, "--yes")
    assert [store.jobs.get(number).state for number in (1, 2)] == ["cancelled", "ready"]
    answer = cli("jobs", "delete", "shop", "--idempotency-key", "order 7", "--yes")
    assert (answer.code, "name the task too, with --task" in answer.err) == (2, True)


def test_a_delay_and_a_moment(cli: Cli, store: Turnspit) -> None:
    answer = cli("enqueue", "shop", "make_invoice", "order_id=1", "--delay", "1h30m")
    assert re.fullmatch(
        r"job 1 \(make_invoice\) is scheduled in queue default, due \S+ \S+ UTC \(in (89|90) min\)\n", answer.out
    )
    job = store.jobs.get(1)
    assert job.run_at - job.created_at == timedelta(minutes=90)
    cli("enqueue", "shop", "make_invoice", "order_id=2", "--at", "2035-06-01T09:00")
    cli("enqueue", "shop", "make_invoice", "order_id=3", "--at", "2035-06-01T09:00+02:00")
    assert store.jobs.get(2).run_at == datetime(2035, 6, 1, 9, tzinfo=UTC)
    assert store.jobs.get(3).run_at == datetime(2035, 6, 1, 7, tzinfo=UTC)


def test_when_it_expires(cli: Cli, store: Turnspit) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=1", "--expires", "10m")
    job = store.jobs.get(1)
    assert job.expires_at is not None
    assert job.expires_at - job.created_at == timedelta(minutes=10)
    assert "expires    " in cli("jobs", "show", "shop", 1).out
    cli("enqueue", "shop", "make_invoice", "order_id=2", "--expires", "2035-06-01T09:00+02:00")
    assert store.jobs.get(2).expires_at == datetime(2035, 6, 1, 7, tzinfo=UTC)
    answer = cli("enqueue", "shop", "make_invoice", "order_id=3", "--expires", "soon")
    assert (answer.code, "--expires is a time from now, as 5m, or" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("nope",),
            "the app has no task 'nope': there are charge_payment, hold, hold_thread, make_invoice, send_confirmation",
        ),
        (("make_invoce",), "the app has no task 'make_invoce': did you mean make_invoice?"),
        ((), "which app? Name it, as in shop.jobs:app, or set TURNSPIT_APP"),
        (("send_confirmation", "to=7"), "send_confirmation: order_id: Field required"),
        (
            ("send_confirmation", "to=7", "order_id=x"),
            (
                "send_confirmation: order_id: Input should be a valid integer, unable to parse string as an "
                "integer (got 'x')"
            ),
        ),
        (
            ("charge_payment", 'order={"id": "x", "amount": 1}'),
            "charge_payment: order.id: Input should be a valid integer, unable to parse string as an integer (got 'x')",
        ),
        (
            ("make_invoice", "order_id=7", "colour=red"),
            "make_invoice: colour: Extra inputs are not permitted (got 'red')",
        ),
        (("make_invoice", "7"), "an argument is key=value, as in order_id=7, not '7'"),
        (("make_invoice", "--args", "[7]"), "--args is a JSON object, as in {\"order_id\": 7}, not '[7]'"),
        (
            ("make_invoice", "--args", "{"),
            (
                "--args is a JSON object, and this is not JSON: Expecting property name enclosed in double quotes: "
                "line 1 column 2 (char 1)"
            ),
        ),
        (
            ("make_invoice", "order_id=7", "--delay", "soon"),
            "--delay is seconds or a number with a unit (90, 500ms, 5m, 1h30m, 2d), not 'soon'",
        ),
        (
            ("make_invoice", "order_id=7", "--at", "noon"),
            "--at is a date and time, as in 2030-12-31T09:00 (local) or 2030-12-31T09:00+01:00, not 'noon'",
        ),
        (
            ("make_invoice", "order_id=7", "--at", "2035-01-01", "--delay", "1"),
            "--delay and --at exclude each other",
        ),
        (
            ("make_invoice", "order_id=7", "--priority", "99999"),
            "priority is a whole number from -32768 to 32767, not 99999",
        ),
        (
            ("make_invoice", "order_id=7", "--queue", ""),
            "a queue's name must be text of 1 to 255 characters without NUL, not ''",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_stored(
    cli: Cli, folder: Path, words: tuple[str, ...], message: str
) -> None:
    answer = cli("enqueue", "shop", *words)
    assert (answer.code, answer.out, answer.err) == (2, "", f"turnspit: {message}\n")
    assert not (folder / "shop.db").exists()
