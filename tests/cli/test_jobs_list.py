"""``turnspit jobs list``: which jobs, as a table and as JSON."""

import json
import re
from collections.abc import Callable

import pytest

from tests.cli.conftest import Cli

FIELDS = [
    "id",
    "task",
    "queue",
    "state",
    "priority",
    "args",
    "attempt",
    "crashes",
    "created_at",
    "run_at",
    "expires_at",
    "started_at",
    "finished_at",
    "worker",
    "timeout",
    "tags",
    "metadata",
    "progress",
    "progress_message",
    "cancel_requested",
    "reason",
    "error_type",
    "fingerprint",
    "workflow",
]


@pytest.fixture(autouse=True)
def _jobs(cli: Cli, work: Callable[[], None]) -> None:
    for words in (
        ("send_confirmation", "to=ada@example.com", "order_id=1", "--tag", "vip", "--tag", "first"),
        ("send_confirmation", "to=bob@down.example", "order_id=2"),
        ("make_invoice", "order_id=-3"),
        ("charge_payment", 'order={"id": 4, "amount": 0}'),
    ):
        assert cli("enqueue", "shop", *words).code == 0
    work()
    assert cli("enqueue", "shop", "make_invoice", "order_id=5", "--delay", "2h", "--queue", "later").code == 0
    assert cli("enqueue", "shop", "make_invoice", "order_id=6").code == 0


def ids(cli: Cli, *words: object) -> list[int]:
    answer = cli("jobs", "list", "sqlite:///shop.db", "--json", *words)
    assert (answer.code, answer.err) == (0, "")
    return [job["id"] for job in json.loads(answer.out)["jobs"]]


def shown(cli: Cli, columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    answer = cli("jobs", "list", "shop")
    assert (answer.code, answer.err) == (0, "")
    return answer.out.splitlines()


@pytest.mark.usefixtures("later")
def test_the_table_at_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(cli, 80, monkeypatch)
    assert lines == [
        "ID  STATE      TASK               QUEUE     WHEN        ABOUT",
        ' 6  ready      make_invoice       default   3 min ago   {"order_id":6}',
        ' 5  scheduled  make_invoice       later     in 116 min  {"order_id":5}',
        " 4  cancelled  charge_payment     payments  3 min ago   nothing to pay",
        " 3  retrying   make_invoice       default   in 56 min   ValueError: order -3 ha…",
        " 2  dead       send_confirmation  email     3 min ago   ConnectionError: no rou…",
        ' 1  completed  send_confirmation  email     3 min ago   {"to":"ada@example.com"…',
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("later")
def test_the_table_at_140_columns_has_room_for_the_reason(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(cli, 140, monkeypatch)
    assert lines[0] == "ID  STATE      TASK               QUEUE     ATTEMPT  WHEN        ABOUT"
    assert lines[4] == (
        " 3  retrying   make_invoice       default   1        in 56 min   ValueError: order -3 has no number"
    )
    assert lines[5] == (
        " 2  dead       send_confirmation  email     2        3 min ago   ConnectionError: no route for order 2"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), [6, 5, 4, 3, 2, 1]),
        (("--state", "scheduled"), [5, 3]),
        (("--state", "retrying"), [3]),
        (("--queue", "email"), [2, 1]),
        (("--task", "make_invoice", "--queue", "default"), [6, 3]),
        (("--tag", "vip"), [1]),
        (("--error", "ConnectionError"), [2]),
        (("--args", "order_id=1"), [1]),
        (("--args", "to=ada@example.com", "--args", "order_id=1"), [1]),
        (("--args", "to=ada@example.com", "--args", "order_id=2"), []),
        (("--args", 'order={"id":4,"amount":0.0}'), [4]),
        (("--created-after", "1h"), [6, 5, 4, 3, 2, 1]),
        (("--created-before", "1h"), []),
        (("--created-after", "2020-01-01"), [6, 5, 4, 3, 2, 1]),
        (("--created-before", "2020-01-01T00:00+01:00"), []),
        (("--limit", "2", "--after", "5"), [4, 3]),
        (("--limit", "2", "--after", str(2**63 - 1)), [6, 5]),
    ],
)
def test_filters_choose_jobs(cli: Cli, words: tuple[str, ...], expected: list[int]) -> None:
    assert ids(cli, *words) == expected


def test_a_group_of_dead_letters_is_a_filter(cli: Cli) -> None:
    [group] = json.loads(cli("dead", "groups", "shop", "--json").out)["groups"]
    assert ids(cli, "--fingerprint", group["fingerprint"]) == [2]


def test_pages_follow_each_other(cli: Cli) -> None:
    first = cli("jobs", "list", "shop", "--limit", "4")
    assert first.err == "4 jobs shown; the next ones: --after 3\n"
    last = cli("jobs", "list", "shop", "--limit", "4", "--after", "3")
    assert last.err == ""
    assert len(last.out.splitlines()) == 3
    assert json.loads(cli("jobs", "list", "shop", "--limit", "4", "--json").out)["next"] == "3"
    assert json.loads(cli("jobs", "list", "shop", "--json").out)["next"] is None


def test_the_fields_of_json_are_stable(cli: Cli) -> None:
    [job] = json.loads(cli("jobs", "list", "shop", "--error", "ConnectionError", "--json").out)["jobs"]
    assert list(job) == FIELDS
    assert job | {"created_at": 0, "run_at": 0, "started_at": 0, "finished_at": 0, "worker": 0, "fingerprint": 0} == {
        "id": 2,
        "task": "send_confirmation",
        "queue": "email",
        "state": "dead",
        "priority": 0,
        "args": {"to": "bob@down.example", "order_id": 2},
        "attempt": 2,
        "crashes": 0,
        "created_at": 0,
        "run_at": 0,
        "expires_at": None,
        "started_at": 0,
        "finished_at": 0,
        "worker": 0,
        "timeout": None,
        "tags": [],
        "metadata": {},
        "progress": None,
        "progress_message": None,
        "cancel_requested": False,
        "reason": "no route for order 2",
        "error_type": "ConnectionError",
        "fingerprint": 0,
        "workflow": None,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", job["created_at"])


def test_nothing_found_is_said_and_is_no_failure(cli: Cli, folder: object) -> None:
    answer = cli("jobs", "list", "shop", "--task", "other")
    assert (answer.code, answer.out, answer.err) == (0, "", f"no job matches at {folder}/shop.db\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--state", "done"),
            (
                "no state is named 'done'; there are blocked, scheduled, retrying, held, ready, running, completed, "
                "cancelled, dead"
            ),
        ),
        (("--args", "order_id"), "--args is key=value, as in order_id=7, not 'order_id'"),
        (("--after", "x"), "--after takes the cursor that a page ended with, not 'x'"),
        (
            ("--created-after", "yesterday"),
            (
                "--created-after is how long ago, as in 2h, or a date and time, as in 2030-12-31T09:00 (local) or "
                "2030-12-31T09:00+01:00, not 'yesterday'"
            ),
        ),
        (
            ("--created-after", "9999999w"),
            (
                "--created-after is how long ago, as in 2h, or a date and time, as in 2030-12-31T09:00 (local) or "
                "2030-12-31T09:00+01:00, not '9999999w'"
            ),
        ),
        (("--xyz",), "No such option: --xyz (see turnspit jobs list --help)"),
    ],
)
def test_a_wrong_filter_is_one_line(cli: Cli, words: tuple[str, ...], message: str) -> None:
    answer = cli("jobs", "list", "shop", *words)
    assert (answer.code, answer.out, answer.err) == (2, "", f"turnspit: {message}\n")


def test_a_limit_out_of_range_is_refused(cli: Cli) -> None:
    answer = cli("jobs", "list", "shop", "--limit", "0")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("turnspit: Invalid value for '--limit' / '-n': ")
    assert len(answer.err.splitlines()) == 1
