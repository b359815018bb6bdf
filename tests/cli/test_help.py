"""``--help`` of every command: useful, with an example, and no wider than the terminal."""

import io
import re
import shlex
from typing import Any

import pytest
from typer.core import TyperGroup

from tests.cli.conftest import Cli
from tests.cli.reference import PAGE, every_command

COMMANDS = [(command, context.command_path.split()[1:]) for command, context in every_command()]
SINGLE = [(command, words) for command, words in COMMANDS if not isinstance(command, TyperGroup)]

WORKER = """\
Usage: turnspit worker [APP] [OPTIONS]

  Claim jobs and run them until a signal stops it.

  SIGTERM or Ctrl-C stops it in order: running jobs may go on for the grace
  time, and jobs that have not begun go back to their queue. A second signal
  hands everything back at once. Either way it exits with 0.

  With --processes, --max-jobs or --max-memory a supervisor starts worker
  processes and replaces those that end; SIGHUP replaces all of them, one after
  the other. It exits with 1 if one had to be killed at the end.

Arguments
  [APP]  The app, like shop.jobs:app or shop/jobs.py:app. Default:
         $TURNSPIT_APP.

Several processes
  --processes N      How many worker processes there are. Default: 1.
  --max-jobs N       Replace a process that has done about N jobs; those that it
                     runs end first.
  --max-memory SIZE  Replace a process that uses so much memory, like 512MB.

Health and metrics
  --health-file PATH   A file that is written every 5 s while the worker is
                       live.
  --health-port N      The port that serves /livez and /readyz over HTTP; 0: a
                       free one.
  --health-host HOST   The address of that port. Default: 127.0.0.1.
  --max-lag TIME       How long the event loop, or all slots, may hang before
                       the worker is not live. A supervisor replaces a process
                       whose slots hang. Default: 30.
  --metrics-port N     The port that serves metrics for Prometheus over HTTP; 0:
                       a free one.
  --metrics-host HOST  The address of that port. Default: 127.0.0.1.

Options
  -q, --queues A,B     The queues it serves. Default: all.
  -c, --concurrency N  How many jobs a process runs at once. Default: 10.
  --grace TIME         How long running jobs may go on after a stop: seconds, or
                       like 2m. Default: 25.
  --lease TIME         How long after its last heartbeat other workers take its
                       jobs. Default: 15.
  --heartbeat TIME     How often it renews its lease. Default: a third of the
                       lease.
  --until-empty        End when nothing is ready or running any more.
  --log-level LEVEL    debug, info (also each job that ended), warning or error.
                       Default: info.
  --log-format FORMAT  text, or json: one line of JSON per record. Default:
                       text.
  --help               Show this message and exit.

Examples
  turnspit worker shop.jobs:app --queues email,reports --concurrency 20
  turnspit worker shop.jobs:app --processes 4 --max-memory 512MB
  turnspit worker shop.jobs:app --until-empty
"""


def name(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else ""


def shown(command: Any) -> list[Any]:
    return [param for param in command.params if not getattr(param, "hidden", False)]


def test_there_are_these_commands() -> None:
    assert [" ".join(words) for _, words in COMMANDS] == [
        "",
        "worker",
        "dev",
        "run",
        "enqueue",
        "dashboard",
        "jobs",
        "jobs list",
        "jobs show",
        "jobs run-now",
        "jobs replay",
        "jobs cancel",
        "jobs delete",
        "dead",
        "dead groups",
        "dead replay",
        "queues",
        "queues list",
        "queues pause",
        "queues resume",
        "workflows",
        "workflows list",
        "workflows show",
        "workflows cancel",
        "workflows replay",
        "schedules",
        "schedules list",
        "schedules pause",
        "schedules resume",
        "schedules run",
        "schedules remove",
        "limits",
        "limits list",
        "limits set",
        "limits reset",
        "workers",
        "workers list",
        "workers quiet",
        "workers stop",
        "migrate",
        "move",
        "doctor",
        "demo",
    ]


@pytest.mark.parametrize(("command", "words"), COMMANDS, ids=name)
@pytest.mark.parametrize("columns", [60, 80, 140])
def test_help_fits_the_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: Any, words: list[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    answer = cli(*words, "--help")
    assert (answer.code, answer.err) == (0, "")
    text = answer.out.partition("\nExamples")[0]
    assert max(map(len, text.splitlines())) <= columns
    assert "  --help" in text
    for param in shown(command):
        assert all(option in text for option in param.opts if option.startswith("--"))
    assert " None " not in text  # an option without a metavar


@pytest.mark.parametrize(("command", "words"), SINGLE, ids=name)
def test_every_command_has_an_example_that_is_understood(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: Any, words: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    examples = cli(*words, "--help").out.partition("\nExamples\n")[2].splitlines()
    assert examples
    for example in examples:
        assert len(example) <= 2 + 78
        program, *typed = shlex.split(example.partition(" | ")[0])
        assert (program, typed[: len(words)]) == ("turnspit", words)
        with command.make_context("turnspit", typed[len(words) :]) as context:
            assert context.params is not None


def test_the_help_of_the_worker_at_80_columns(cli: Cli) -> None:
    assert cli("worker", "--help").out == WORKER


@pytest.mark.parametrize("words", [(), ("jobs",), ("dead",)])
def test_a_group_alone_shows_its_help_as_wrong_usage(cli: Cli, words: tuple[str, ...]) -> None:
    answer = cli(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == cli(*words, "--help").out


def test_the_page_names_every_option() -> None:
    page = PAGE.read_text()
    for command, words in SINGLE:
        section = re.split(r"^## ", page, flags=re.MULTILINE)
        [mine] = [part for part in section if part.startswith(f"turnspit {' '.join(words)}\n")]
        missing = [option for param in shown(command) for option in param.opts if f"{option}" not in mine]
        assert set(missing) <= {"--help", "app", "words", "source", "target"}
