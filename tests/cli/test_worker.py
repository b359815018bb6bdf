"""``turnspit worker`` as a process: its banner, its log, its signals."""

import re
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Start
from tests.cli.gate import Gate
from tests.cli.terminal import at_terminal
from turnspit import JobState, Turnspit, __version__

LOG_LINE = re.compile(r"\d\d:\d\d:\d\d (debug|info|warning|error) {2,}\S.*")


def read_until(process: "subprocess.Popen[str]", word: str) -> str:
    """What a process says on stderr, up to a line with ``word``; pytest's time-out is the deadline."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if word in line:
            return said
    raise AssertionError(f"{word!r} was never said, but: {said}")


def test_until_empty_works_everything_off_and_ends(cli: Cli, start: Start, store: Turnspit, folder: Path) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=ada@example.com", "order_id=1")
    cli("enqueue", "shop", "send_confirmation", "to=bob@down.example", "order_id=2")
    cli("enqueue", "shop", "make_invoice", "order_id=3", "--delay", "1h")
    process = start("worker", "shop:app", "--until-empty", "--concurrency", "3")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    banner, log = err.splitlines()[:6], err.splitlines()[6:]
    assert banner == [
        f"turnspit {__version__} · shop:app · pid {process.pid}",
        f"  store        {folder}/shop.db",
        "  queues       all",
        "  tasks        5",
        "  concurrency  3",
        "  Ctrl-C stops it in order, a second one at once",
    ]
    assert all(LOG_LINE.fullmatch(line) for line in log)
    messages = [line[18:] for line in log]
    assert messages[0] == f"worker 1 started: pid {process.pid}, store {folder}/shop.db"
    assert any(re.fullmatch(r"job 1 \(send_confirmation\) completed after \d+ ms", each) for each in messages)
    assert (
        f"job 2 (send_confirmation) is dead: ConnectionError: no route for order 2 ({folder}/shop.py, line 21)"
        in messages
    )
    assert messages[-2] == "worker 1 stopped"
    assert messages[-1].startswith("jobs that are left, for a retry or for later: 1; the next one is due at ")
    assert [str(store.jobs.get(job).state) for job in (1, 2, 3)] == ["completed", "dead", "scheduled"]


def test_it_serves_the_queues_it_was_given(cli: Cli, start: Start, store: Turnspit) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=ada@example.com", "order_id=1")
    cli("enqueue", "shop", "make_invoice", "order_id=2", "--queue", "a")
    cli("enqueue", "shop", "make_invoice", "order_id=3", "--queue", "b")
    process = start("worker", "shop", "--queues", "email, b", "--until-empty")
    _, err = process.communicate(timeout=30)
    assert "  queues       email, b (no task declares b; there are default, email, payments)\n" in err
    assert [str(store.jobs.get(job).state) for job in (1, 2, 3)] == ["completed", "ready", "completed"]


def test_the_banner_says_that_nobody_named_the_store(start: Start, folder: Path) -> None:
    (folder / "bare.py").write_text("from turnspit import Turnspit\napp = Turnspit()\n\n@app.task\ndef work(): ...\n")
    _, err = start("worker", "bare", "--until-empty").communicate(timeout=30)
    assert f"  store        {folder}/turnspit.db (by default: no URL was given)\n" in err


def test_the_banner_says_that_the_url_of_the_environment_is_not_taken(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from turnspit import Turnspit\napp = Turnspit('sqlite:///own.db')\n\n@app.task\ndef work(): ...\n"
    (folder / "bare.py").write_text(code)
    for url, note in (
        ("sqlite:///other.db", " (as the program says: $TURNSPIT_URL is for a Turnspit() without a URL)"),
        ("sqlite:///own.db", ""),
    ):
        monkeypatch.setenv("TURNSPIT_URL", url)
        _, err = start("worker", "bare", "--until-empty").communicate(timeout=30)
        assert f"  store        {folder}/own.db{note}\n" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_running_jobs_end_and_hands_the_rest_back(
    cli: Cli, start: Start, store: Turnspit, folder: Path, number: signal.Signals
) -> None:
    with Gate(folder) as gate:
        for _ in range(2):
            cli("enqueue", "shop", "hold", f"gate={gate.path}")
        process = start("worker", "shop", "--concurrency", "1")
        gate.wait_for_job()
        process.send_signal(number)
        read_until(process, "stopping; running jobs (1) may take up to 25 s, a second signal hands them back at once")
        gate.open()
        process.communicate(timeout=30)
    assert process.returncode == 0
    done, handed_back = store.jobs.get(1), store.jobs.get(2)
    assert (done.state, done.get_result(timeout=0)) == (JobState.COMPLETED, "let go")
    assert (handed_back.state, handed_back.attempt) == (JobState.READY, 0)


@pytest.mark.parametrize("task", ["hold", "hold_thread"])
def test_the_second_signal_hands_running_jobs_back_at_once(
    cli: Cli, start: Start, store: Turnspit, folder: Path, task: str
) -> None:
    with Gate(folder) as gate:
        cli("enqueue", "shop", task, f"gate={gate.path}")
        process = start("worker", "shop", "--grace", "10m")
        gate.wait_for_job()
        process.send_signal(signal.SIGTERM)
        read_until(process, "stopping; running jobs (1)")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
        gate.wait_until_gone()
    job = store.jobs.get(1)
    assert (job.state, job.attempt, job.attempts) == (JobState.READY, 0, ())


def test_the_grace_time_ends_a_stop(cli: Cli, start: Start, store: Turnspit, folder: Path) -> None:
    with Gate(folder) as gate:
        cli("enqueue", "shop", "hold", f"gate={gate.path}")
        process = start("worker", "shop", "--grace", "100ms")
        gate.wait_for_job()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert store.jobs.get(1).state is JobState.READY


def test_a_signal_while_the_app_is_still_imported_ends_it_in_order(start: Start, folder: Path) -> None:
    with Gate(folder) as gate:
        (folder / "slow.py").write_text(
            "import socket\n"
            "with socket.socket(socket.AF_UNIX) as connection:\n"
            f"    connection.connect({gate.path!r})\n"
            "    connection.recv(1)\n"
        )
        process = start("worker", "slow:app")
        gate.wait_for_job()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize("options", [(), ("--max-jobs", "9")], ids=["alone", "supervised"])
def test_a_signal_while_a_lifespan_waits_for_what_never_comes(
    cli: Cli, start: Start, folder: Path, options: tuple[str, ...]
) -> None:
    """Once it was deaf until its lifespans were open: Ctrl-C did nothing, and a supervisor killed it in the end."""
    with Gate(folder) as gate:
        (folder / "waiting.py").write_text(
            "import asyncio\n"
            "from shop import app\n"
            "@app.lifespan\n"
            "async def lifespan(app):\n"
            f"    reader, writer = await asyncio.open_unix_connection({gate.path!r})\n"
            "    try:\n"
            "        writer.write(b'.')\n"
            "        await reader.read()\n"
            "        yield\n"
            "    finally:\n"
            "        print('closed', flush=True)\n"
            "        writer.close()\n"
        )
        process = start("worker", "waiting:app", *options)
        gate.wait_for_job()
        gate.last().recv(1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "closed\n")
    assert "a worker that had not begun stopped" in err
    assert "Traceback" not in err
    assert cli("workers", "list", "shop").err.startswith("no worker")


def test_a_second_signal_on_the_way_out_changes_nothing(start: Start, folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import atexit, os, signal\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGTERM)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    process = start("worker", "slow:app")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_debug_also_shows_each_start_and_warning_only_what_is_wrong(cli: Cli, start: Start) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=ada@example.com", "order_id=1")
    _, err = start("worker", "shop", "--until-empty", "--log-level", "debug").communicate(timeout=30)
    assert "debug    job 1 (send_confirmation) started, attempt 1\n" in err
    cli("enqueue", "shop", "send_confirmation", "to=bob@down.example", "order_id=2")
    _, err = start("worker", "shop", "--until-empty", "--log-level", "warning").communicate(timeout=30)
    [line] = err.splitlines()[6:]
    assert line[9:].startswith("error    job 2 (send_confirmation) is dead: ConnectionError: no route for order 2 (")


def test_an_app_that_set_up_logging_keeps_its_own(cli: Cli, start: Start, folder: Path) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=ada@example.com", "order_id=1")
    (folder / "logged.py").write_text(
        "import logging\nlogging.basicConfig(format='MINE %(message)s', level='INFO')\nfrom shop import app\n"
    )
    _, err = start("worker", "logged:app", "--until-empty").communicate(timeout=30)
    lines = err.splitlines()[6:]
    assert all(line.startswith("MINE ") for line in lines)
    assert lines


def test_a_message_of_many_lines_cannot_look_like_another_record(cli: Cli, start: Start, folder: Path) -> None:
    (folder / "forger.py").write_text(
        "from shop import app\nfrom turnspit import GiveUp\n@app.task\nasync def forge():\n"
        "    raise GiveUp('a\\n12:00:00 error    forged \\x1b[31m')\n"
    )
    cli("enqueue", "forger:app", "forge")
    _, err = start("worker", "forger:app", "--until-empty").communicate(timeout=30)
    [first, second] = [line for line in err.splitlines() if "is dead" in line or "forged" in line]
    assert first[9:] == "error    job 1 (forge) is dead: GiveUp: a"
    assert second == " " * 18 + rf"12:00:00 error    forged \x1b[31m ({folder}/forger.py, line 5)"


def test_at_a_terminal_the_levels_have_colours(cli: Cli) -> None:
    cli("enqueue", "shop", "charge_payment", 'order={"id": 1, "amount": 200}')
    code, shown = at_terminal("worker", "shop", "--until-empty")
    assert code == 0
    assert re.search(r"\x1b\[31m\d\d:\d\d:\d\d error    job 1 \(charge_payment\) is dead.*\x1b\[0m", shown)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("shop", "--queues", "a,,b"),
            "--queues is one or more names with commas between them, as in email,reports, not 'a,,b'",
        ),
        (("shop", "--log-level", "loud"), "--log-level is one of debug, info, warning, error, not 'loud'"),
        (("shop", "--grace", "x"), "--grace is seconds or a number with a unit (90, 500ms, 5m, 1h30m, 2d), not 'x'"),
        (
            ("none:app",),
            (
                'none:app has no tasks: import their modules there, as with app.discover("shop.jobs"), and include '
                "each Blueprint, as with app.include(reports)"
            ),
        ),
        (
            ("away:app",),
            "store {cwd}/away/shop.db cannot be made: its folder does not exist; create {cwd}/away first",
        ),
    ],
)
def test_a_worker_that_cannot_begin_is_one_line(
    start: Start, folder: Path, words: tuple[str, ...], message: str
) -> None:
    (folder / "none.py").write_text("from turnspit import Turnspit\napp = Turnspit('sqlite:///shop.db')\n")
    (folder / "away.py").write_text(
        "from turnspit import Turnspit\napp = Turnspit('sqlite:///away/shop.db')\n@app.task\ndef f(): ...\n"
    )
    process = start("worker", *words)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert err == f"turnspit: {message.replace('{cwd}', str(folder))}\n"


def test_a_worker_whose_store_does_not_take_it_is_one_line_too(start: Start, store: Turnspit, folder: Path) -> None:
    """It can be read: of a full disk or a standby that shows only now."""
    store.migrate()
    with closing(sqlite3.connect(folder / "shop.db")) as other:
        refuse = "BEFORE INSERT ON turnspit_workers BEGIN SELECT RAISE(FAIL, 'it is a standby'); END"
        other.execute(f"CREATE TRIGGER refuse {refuse}")
    process = start("worker", "shop")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.splitlines()[-1] == f"turnspit: store {folder}/shop.db: it is a standby"
    assert "Traceback" not in err


def test_a_lifespan_that_fails_shows_its_traceback_and_exits_with_1(start: Start, folder: Path) -> None:
    (folder / "broken.py").write_text(
        "from shop import app\n@app.lifespan\nasync def lifespan(app):\n    raise KeyError('SMTP_PORT')\n    yield\n"
    )
    process = start("worker", "broken:app")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f'File "{folder}/broken.py", line 4, in lifespan' in err
    assert err.endswith("turnspit: the worker ended: KeyError: 'SMTP_PORT'\n")


def test_two_workers_share_one_file(cli: Cli, start: Start, store: Turnspit, shop: Any) -> None:
    shop.app.enqueue_many(shop.send_confirmation.new(to="ada@example.com", order_id=n) for n in range(200))
    processes = [start("worker", "shop", "--until-empty") for _ in range(2)]
    said = [process.communicate(timeout=50)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert store.jobs.count(state="completed") == 200
    assert "locked" not in "".join(said)
