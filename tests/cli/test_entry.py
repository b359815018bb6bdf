"""``turnspit`` as it is installed: the entry point, the extra, completion, pipes, and how it ends."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import turnspit
from tests.cli.conftest import Cli, Start
from turnspit import __main__, __version__

INSTALLED = Path(sys.executable).with_name("turnspit")


def complete(line: str) -> list[str]:
    """What bash would offer behind ``line``."""
    words = line.split(" ")
    asked = {"_TURNSPIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    answer = subprocess.run([INSTALLED], env=os.environ | asked, capture_output=True, text=True, check=True)
    return answer.stdout.split()


def test_the_program_and_the_module_are_one(start: Start) -> None:
    by_name = subprocess.run([INSTALLED, "--version"], capture_output=True, text=True, check=True)
    by_module, _ = start("--version").communicate(timeout=30)
    assert by_name.stdout == by_module == f"turnspit {__version__}\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_names_it(folder: Path, missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from turnspit.__main__ import main; sys.exit(main())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == f'turnspit: the command line needs {missing}: pip install "turnspit[cli]"\n'


def test_another_missing_module_is_not_taken_for_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "turnspit.cli.main")
    monkeypatch.setitem(sys.modules, "turnspit.cli.loading", None)  # type: ignore[arg-type]
    with pytest.raises(ModuleNotFoundError):
        __main__.main()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("turnspit do", ["doctor"]),
        ("turnspit jobs ", ["list", "show", "run-now", "replay", "cancel", "delete"]),
        ("turnspit jobs list --state d", ["dead"]),
        ("turnspit worker --log-level ", ["debug", "info", "warning", "error"]),
        ("turnspit migrate --s", ["--sql", "--since", "--status"]),
    ],
)
def test_completion_offers_commands_options_and_values(line: str, offered: list[str]) -> None:
    assert complete(line) == offered


def in_bash(words: str, home: Path) -> str:
    """What a shell prints that is told apart by its name among the parents."""
    command = ["bash", "-c", f"{INSTALLED} {words}; exit $?"]
    env = os.environ | {"HOME": str(home)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_completion_is_installed_for_the_shell_that_asks(folder: Path) -> None:
    assert "completion installed" in in_bash("--install-completion", folder)
    assert "_TURNSPIT_COMPLETE=complete_bash" in (folder / ".bash_completions" / "turnspit.sh").read_text()


def test_completion_can_be_shown(folder: Path) -> None:
    assert "_turnspit_completion" in in_bash("--show-completion", folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("jbos",), "No such command 'jbos'. Did you mean 'jobs'? (see turnspit --help)"),
        (("jobs", "lst"), "No such command 'lst'. Did you mean 'list'? (see turnspit jobs --help)"),
        (("flower",), "No such command 'flower': turnspit dashboard (see turnspit --help)"),
        (
            ("dead", "retry"),
            (
                "No such command 'retry': turnspit jobs replay, or turnspit dead replay for all that failed for good "
                "(see turnspit dead --help)"
            ),
        ),
        (
            ("dead", "list"),
            (
                "No such command 'list': turnspit jobs list, or turnspit dead groups for all that failed for good "
                "(see turnspit dead --help)"
            ),
        ),
        (
            ("worker", "-A", "shop"),
            (
                "No such option: -A: the app goes behind the command, as in turnspit worker shop.jobs:app "
                "(see turnspit worker --help)"
            ),
        ),
        (("queues", "list", "a", "b"), "Got unexpected extra argument(s) (b) (see turnspit queues list --help)"),
        (("migrate", "--sqll"), "No such option: --sqll (Possible options: --sql) (see turnspit migrate --help)"),
    ],
)
def test_a_typing_mistake_is_one_line(cli: Cli, words: tuple[str, ...], message: str) -> None:
    answer = cli(*words)
    assert (answer.code, answer.out, answer.err) == (2, "", f"turnspit: {message}\n")


def test_a_word_that_is_no_text_is_one_line(cli: Cli) -> None:
    answer = cli("jobs", "list", "shop", "--queue", "a\udcff")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "turnspit: 'a\\udcff' is not text in this terminal's encoding, utf-8\n"


def test_a_pipe_that_closes_early_is_no_traceback(cli: Cli, start: Start) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    read, write = os.pipe()
    process = start("jobs", "list", "shop", "--json", stdout=write)
    os.close(read)
    os.close(write)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "")


def test_a_terminal_without_unicode_gets_question_marks(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("migrate", "shop")
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "turnspit", "doctor", "shop"]
    answer = subprocess.run(command, env=ascii_only, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "?  schema" in answer.stdout


def test_json_in_a_terminal_without_unicode_is_still_json(cli: Cli) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=Åsa", "order_id=1")
    for encoding, shown in (("ascii", r"\u00c5sa"), ("utf-8", "Åsa")):
        command = [sys.executable, "-m", "turnspit", "jobs", "list", "shop", "--json"]
        env = os.environ | {"PYTHONIOENCODING": encoding}
        answer = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=True)
        assert shown in answer.stdout


def test_a_command_leaves_no_thread_behind(cli: Cli) -> None:
    before = set(threading.enumerate())
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    cli("jobs", "show", "shop", "99")
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if thread.name.startswith("turnspit")] == []


def test_a_wide_table_is_not_cut_in_a_pipe(cli: Cli, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    cli("enqueue", "shop", "send_confirmation", "to=" + "x" * 60, "order_id=1")
    out, _ = start("jobs", "list", "shop").communicate(timeout=30)
    assert "x" * 60 + '","order_id":1}' in out


def test_the_demo_of_a_checkout_is_found(start: Start) -> None:
    out, err = start("demo", "--orders", "0").communicate(timeout=30)
    assert "--orders" in out + err


def test_the_help_of_an_installation_without_it_does_not_promise_the_demo(folder: Path) -> None:
    """As pip installs it: without the examples beside it."""
    shutil.copytree(Path(turnspit.__file__).parent, folder / "lib" / "turnspit")
    program = [sys.executable, "-m", "turnspit", "--help"]
    environment = os.environ | {"PYTHONPATH": str(folder / "lib")}
    shown = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "doctor" in shown
    assert "demo" not in shown


def test_without_a_checkout_the_demo_says_where_it_is(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnspit.__file__", str(folder / "lib" / "turnspit" / "__init__.py"))
    answer = cli("demo")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        "turnspit: the demo is not part of this installation: clone the repository and run `make demo`\n"
    )
