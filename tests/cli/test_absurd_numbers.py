"""Numbers, times and sizes that nobody can mean: one short line, exit code 2, and nothing is begun."""

import pytest
from typer.main import get_command

from tests.cli.conftest import Cli
from turnspit.cli.main import app

THIRTY, THOUSANDS = "9" * 30, "9" * 5000
TOO_LARGE = "9223372036854775808"
COUNTS = (THIRTY, THOUSANDS, "-1", "nan", "1e400")
DURATIONS = (THIRTY, THOUSANDS, f"{THOUSANDS}w", "99999999d", "nan", "-1")
MOMENTS = ("0001-01-01", THIRTY, THOUSANDS, "99999999999-01-01")

OPTIONS = {
    "--after": (TOO_LARGE, *COUNTS),
    "--at": MOMENTS,
    "--burst": COUNTS,
    "--created-after": (*MOMENTS, "99999999d"),
    "--created-before": (*MOMENTS, "99999999d"),
    "--delay": DURATIONS,
    "--expires": (*DURATIONS, *MOMENTS),
    "--max-memory": (THIRTY + "9" * 400, f"{THOUSANDS}TB", "nan", "-1"),
    "--priority": (THIRTY, THOUSANDS, "nan", "1e400"),
    "--processes": (TOO_LARGE, *COUNTS),
    "--rate": (f"{THIRTY}/1s", f"{THOUSANDS}/1s", f"1/{THIRTY}", f"1/{THOUSANDS}", "-1/1s", "٣/1s"),
    "--since": (THOUSANDS, "-1", "nan"),
    "--timeout": DURATIONS,
    "--workflow": (THOUSANDS, "nan", "1e400"),
    "--max-jobs": (THOUSANDS, "-1", "nan"),
}
"""What is typed for an option; for one that is not named here, what its kind says."""
MORE = {
    "enqueue": ["make_invoice", "order_id=7"],
    "limits set": ["make_invoice"],
    "move": ["sqlite:///new.db"],
    "workflows list": [],
}
"""The words that a command needs beside the app."""
WITH = {"--burst": ["--rate=1/1s"], "--since": ["--sql"]}
IDS = [f"jobs {verb}" for verb in ("show", "cancel", "delete", "replay", "run-now")]
IDS += ["dead replay", "workflows show", "workflows cancel", "workflows replay", "workers quiet", "workers stop", "run"]


def options() -> dict[str, list[str]]:
    """Each command's options that take a number, a time or a size."""
    found: dict[str, list[str]] = {}
    waiting = [("", get_command(app))]
    while waiting:
        name, command = waiting.pop()
        waiting += [(f"{name} {verb}".strip(), each) for verb, each in getattr(command, "commands", {}).items()]
        for option in getattr(command, "params", ()):
            long = next(each for each in option.opts if len(option.opts) == 1 or each.startswith("--"))
            if long == "--workflow" or (option.metavar or "").partition("/")[0] in ("N", "TIME", "SIZE", "CURSOR"):
                found.setdefault(name, []).append(long)
    return found


def check(cli: Cli, words: list[str]) -> None:
    answer = cli(*words)
    assert (answer.code, answer.out) == (2, ""), answer.err
    assert answer.err.startswith("turnspit: ")
    assert answer.err.count("\n") == 1
    assert len(answer.err) < 400


@pytest.mark.parametrize("command", sorted(options()))
def test_an_option(cli: Cli, command: str) -> None:
    cli("migrate", "shop")
    for option in options()[command]:
        takes_time = option in ("--grace", "--lease", "--heartbeat", "--max-lag", "--wait")
        for typed in OPTIONS.get(option, DURATIONS if takes_time else COUNTS):
            check(cli, [*command.split(), "shop", *MORE.get(command, ()), f"{option}={typed}", *WITH.get(option, ())])


@pytest.mark.parametrize("command", IDS)
def test_an_id(cli: Cli, command: str) -> None:
    cli("migrate", "shop")
    for typed in (TOO_LARGE, THIRTY, THOUSANDS, "-1", "٣", "1e400"):
        check(cli, [*command.split(), "shop", "--", typed])


@pytest.mark.parametrize(
    ("option", "typed", "said"),
    [
        ("--concurrency", THIRTY, "less than or equal to 1000000"),
        ("--processes", "1001", "less than or equal to 1000 "),
        ("--health-file", "/", "the health file / is a folder: name a file in it"),
        ("--metrics-host", "x" * 300, "metrics cannot be shown on "),
        ("--max-memory", THOUSANDS, "--max-memory is bytes or a number with a unit (512MB, 1.5GiB), not '999"),
    ],
)
def test_a_worker_that_cannot_be_meant(cli: Cli, option: str, typed: str, said: str) -> None:
    ports = ["--metrics-port=0"] if option == "--metrics-host" else []
    answer = cli("worker", "shop", "--until-empty", "--log-format=json", *ports, f"{option}={typed}")
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
    assert said in answer.err


def test_a_word_that_would_fill_the_screen_is_cut(cli: Cli) -> None:
    answer = cli("enqueue", "shop", "make_invoice", "order_id=7", "--queue", "x" * 100_000)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith(f"not '{'x' * 79}...\n")
