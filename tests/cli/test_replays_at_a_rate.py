"""``--rate``: many dead letters replayed slowly, with progress, and stopped in an orderly way."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.behaviour.support import wait_until
from tests.cli.conftest import Cli, Start
from tests.cli.terminal import at_terminal
from turnspit import EngineUnavailable, Turnspit
from turnspit.cli import portions
from turnspit.operations import Portions

COMMANDS = pytest.mark.parametrize("group", ["dead", "jobs"])


@pytest.fixture(autouse=True)
def _dead(shop: Any, work: Callable[[], None]) -> None:
    """Three dead letters."""
    shop.app.enqueue_many(shop.charge_payment.new(order={"id": number, "amount": 200}) for number in range(3))
    work()


@COMMANDS
def test_jobs_are_replayed_at_a_rate(cli: Cli, store: Turnspit, group: str) -> None:
    answer = cli(group, "replay", "shop", "--task", "charge_payment", "--rate", "20")
    assert (answer.code, answer.out, answer.err) == (0, "3 jobs replayed\n", "")
    assert store.jobs.count(state="ready") == 3


def test_waiting_jobs_run_now_at_a_rate(cli: Cli, store: Turnspit, shop: Any) -> None:
    shop.app.enqueue_many(shop.make_invoice.using(delay=60).new(order_id=number) for number in range(3))
    answer = cli("jobs", "run-now", "shop", "--task", "make_invoice", "--rate", "20")
    assert (answer.code, answer.out, answer.err) == (0, "3 jobs made ready\n", "")
    assert store.jobs.count(state="ready") == 3


def test_how_far_it_is_is_said_where_no_terminal_shows_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "_TELL", 0.0)
    answer = cli("dead", "replay", "shop", "--all", "--rate", "10", "--json")
    assert json.loads(answer.out) == {"replayed": 3, "errors": []}
    assert answer.err == "1 of 3 jobs replayed\n2 of 3 jobs replayed\n"


def test_a_person_is_told_how_long_it_takes_and_sees_a_bar(store: Turnspit) -> None:
    code, shown = at_terminal("dead", "replay", "shop", "--all", "--rate", "0.01", answer="n")
    assert (code, shown) == (1, "replay 3 jobs in 5 min? [y/N]: n\nturnspit: nothing was changed\n")
    assert store.jobs.count(state="dead") == 3
    code, shown = at_terminal("dead", "replay", "shop", "--all", "--yes", "--rate", "10")
    assert code == 0
    assert "1/3" in shown
    assert shown.endswith("3 jobs replayed\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_says_what_was_done_and_leaves_the_rest(
    cli: Cli, start: Start, store: Turnspit, number: signal.Signals
) -> None:
    replay = start("dead", "replay", "shop", "--all", "--rate", "0.01")
    wait_until(lambda: store.jobs.count(state="ready") == 1, "the first replay")
    replay.send_signal(number)
    out, err = replay.communicate(timeout=20)
    assert (replay.returncode, out) == (128 + number, "1 job replayed\n")
    assert err == (
        "stopped after 1 of 3 jobs: the others are as they were, and the same command goes on to replay them\n"
    )
    assert [job.attempt for job in store.jobs.list(state="dead")] == [1, 1]
    assert cli("dead", "replay", "shop", "--all").out == "2 jobs replayed\n"


def test_an_error_on_the_way_says_what_was_done(cli: Cli, store: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Portions.next

    def fail(self: Portions) -> tuple[Any, ...]:
        if self.changed:
            raise EngineUnavailable("the store is away")
        return begin(self)

    monkeypatch.setattr(Portions, "next", fail)
    answer = cli("jobs", "replay", "shop", "--all", "--rate", "10")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("stopped after 1 of 3 jobs: the others are as they were")
    assert answer.err.endswith("turnspit: the store is away\n")
    assert store.jobs.count(state="dead") == 2


@COMMANDS
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1", "--rate", "5"), "--rate is for a filter or --all: jobs that are named by their ids are few"),
        (("--rate", "5"), "which jobs? Name their ids, give a filter (as --task or --error), or --all to replay all"),
        (("--all", "--rate", "0"), "a rate is more than 0 and at most 100,000 jobs a second, not 0.0"),
        (("--all", "--rate", "nan"), "a rate is more than 0 and at most 100,000 jobs a second, not nan"),
    ],
)
def test_a_rate_that_cannot_be_meant(cli: Cli, store: Turnspit, group: str, words: tuple[str, ...], said: str) -> None:
    answer = cli(group, "replay", "shop", *words)
    assert (answer.code, answer.out, answer.err) == (2, "", f"turnspit: {said}\n")
    assert store.jobs.count(state="dead") == 3
