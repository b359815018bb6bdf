"""``turnspit run``: one job in this process, and nothing written to the store."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Start
from tests.cli.gate import Gate

WRAPPED = """
import signal
import socket

from shop import app, make_invoice, send_confirmation

@app.lifespan
async def lifespan(app):
    print("opened")
    yield {"printer": "laser"}
    print("closed")

@app.middleware
async def wrap(job, call_next):
    print("before", job.id, job.resources)
    try:
        return await call_next(job)
    finally:
        print("after")

@app.on("started", "completed", "failed", "dead")
def hear(event):
    print("heard", event.name)

@app.task(timeout=0.01)
async def stuck(gate: str):
    import shop
    await shop.hold.function(gate)

@app.task
def interrupted(gate: str):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(gate)
        signal.raise_signal(signal.SIGINT)
        connection.recv(1)

@app.task
async def unstorable():
    return object()
"""


@pytest.fixture(autouse=True)
def _nothing_is_written(folder: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """After the test's own enqueueing (it calls ``keep``), every row of the store must stay as it is."""
    (folder / "wrapped.py").write_text(WRAPPED)
    before: list[str] = []
    request.node.stash[KEEP] = lambda: before.extend(rows(folder))
    yield
    assert before
    assert rows(folder) == before


KEEP: pytest.StashKey[Callable[[], None]] = pytest.StashKey()


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[], None]:
    return request.node.stash[KEEP]


def rows(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / "shop.db")
    dump = list(connection.iterdump())
    connection.close()
    return dump


def settled(text: str) -> str:
    return re.sub(r"\d+(\.\d+)? (ms|s)", "TIME", text)


def test_the_result_is_on_stdout_and_the_story_on_stderr(cli: Cli, keep: Callable[[], None]) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    keep()
    answer = cli("run", "shop", "1")
    assert answer.code == 0
    assert json.loads(answer.out) == {"order": 7, "attempt": 1}
    assert settled(answer.err) == (
        "progress 50% rendering\nwarning two pages\n✔ job 1 (make_invoice) completed after TIME; nothing was written\n"
    )


def test_it_runs_through_lifespan_and_middleware_and_tells_no_handler(cli: Cli, keep: Callable[[], None]) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=ada@example.com", "order_id=7")
    keep()
    answer = cli("run", "wrapped:app", "1")
    assert (answer.code, answer.out) == (
        0,
        "opened\nbefore 1 {'printer': 'laser'}\nafter\nclosed\n\"<7@shop.example>\"\n",
    )


def test_a_failure_shows_its_traceback_and_exits_with_1(cli: Cli, folder: Path, keep: Callable[[], None]) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=bob@down.example", "order_id=7")
    keep()
    answer = cli("run", "shop", "1")
    assert (answer.code, answer.out) == (1, "")
    assert settled(answer.err).replace(str(folder), "FOLDER") == (
        "Traceback (most recent call last):\n"
        '  File "FOLDER/shop.py", line 21, in send_confirmation\n'
        '    raise ConnectionError(f"no route for order {order_id}")\n'
        "ConnectionError: no route for order 7\n"
        "✘ job 1 (send_confirmation) failed (a worker would try again TIME later) after TIME: "
        "ConnectionError: no route for order 7; nothing was written\n"
    )


@pytest.mark.parametrize(
    ("amount", "code", "verdict"),
    [
        (
            200,
            1,
            "✘ job 1 (charge_payment) failed (in a worker it would be dead now) after TIME: GiveUp: card declined",
        ),
        (50, 0, "• job 1 (charge_payment) asked to run again 5 min later after TIME: Snooze: the gateway is closed"),
        (0, 0, "• job 1 (charge_payment) cancelled itself after TIME: Cancel: nothing to pay"),
    ],
)
def test_outcomes_are_told_apart(cli: Cli, keep: Callable[[], None], amount: int, code: int, verdict: str) -> None:
    cli("enqueue", "shop", "charge_payment", f'order={{"id": 1, "amount": {amount}}}')
    keep()
    answer = cli("run", "shop", "1")
    last = answer.err.splitlines()[-1]
    assert (answer.code, settled(last)) == (code, f"{verdict}; nothing was written")


def test_a_dead_job_can_be_run_again_and_stays_dead(
    cli: Cli, work: Callable[[], None], keep: Callable[[], None]
) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=bob@down.example", "order_id=7")
    work()
    keep()
    answer = cli("run", "shop", "1")
    assert "failed (in a worker it would be dead now)" in answer.err
    assert json.loads(cli("jobs", "show", "shop", "1", "--json").out)["state"] == "dead"


def test_json_tells_the_outcome(cli: Cli, keep: Callable[[], None]) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=ada@example.com", "order_id=7")
    cli("enqueue", "shop", "send_confirmation", "to=bob@down.example", "order_id=8")
    keep()
    done = json.loads(cli("run", "shop", "1", "--json").out)
    assert done | {"seconds": 0} == {
        "id": 1,
        "task": "send_confirmation",
        "outcome": "completed",
        "seconds": 0,
        "result": "<7@shop.example>",
        "error_type": None,
        "error_message": None,
        "traceback": None,
    }
    answer = cli("run", "shop", "2", "--json")
    failed = json.loads(answer.out)
    assert answer.code == 1
    assert (failed["outcome"], failed["error_type"], failed["error_message"]) == (
        "failed",
        "ConnectionError",
        "no route for order 8",
    )
    assert failed["traceback"].startswith("Traceback")


def test_the_time_out_holds(cli: Cli, folder: Path, keep: Callable[[], None]) -> None:
    with Gate(folder) as gate:
        cli("enqueue", "wrapped:app", "stuck", f"gate={gate.path}")
        keep()
        answer = cli("run", "wrapped:app", "1")
    assert answer.code == 1
    assert "JobTimeout: stopped after" in answer.err


def test_a_result_that_cannot_be_stored_is_shown_as_python_shows_it(cli: Cli, keep: Callable[[], None]) -> None:
    cli("enqueue", "wrapped:app", "unstorable")
    keep()
    answer = cli("run", "wrapped:app", "1")
    assert answer.code == 0
    assert "<object object at 0x" in answer.out
    assert "the result of unstorable cannot be stored" in answer.err


def test_pdb_opens_where_it_failed(cli: Cli, start: Start, keep: Callable[[], None]) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=-7")
    keep()
    process = start("run", "shop", "1", "--pdb", stdin=-1)
    out, err = process.communicate("p order_id * 1000\nq\n", timeout=30)
    assert process.returncode == 1
    assert "-7000" in out
    assert "ValueError: order -7 has no number" in err


@pytest.mark.parametrize("task", ["hold", "hold_thread"])
def test_ctrl_c_stops_a_function_that_does_not_end(
    cli: Cli, start: Start, folder: Path, keep: Callable[[], None], task: str
) -> None:
    with Gate(folder) as gate:
        cli("enqueue", "shop", task, f"gate={gate.path}")
        keep()
        process = start("run", "shop", "1")
        gate.wait_for_job()
        process.send_signal(2)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "stopped\n")


def test_ctrl_c_is_seen_where_it_interrupts_another_thread_than_the_loops(
    cli: Cli, start: Start, folder: Path, keep: Callable[[], None]
) -> None:
    """As when it comes just before the loop sleeps: nothing wakes that."""
    with Gate(folder) as gate:
        cli("enqueue", "wrapped:app", "interrupted", f"gate={gate.path}")
        keep()
        process = start("run", "wrapped:app", "1")
        gate.wait_for_job()
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err.splitlines()[-1]) == (130, "stopped")


def test_a_payload_that_no_longer_fits_says_why(cli: Cli, folder: Path, keep: Callable[[], None]) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("UPDATE turnspit_jobs SET args = '{\"order\": 7}'")
    connection.close()
    keep()
    answer = cli("run", "shop", "1")
    assert answer.code == 1
    assert "has arguments that do not fit its task" in answer.err
    assert "order_id: Field required; order: Extra inputs are not permitted (got 7)" in answer.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("shop", "99"), 1, "there is no job 99 at {cwd}/shop.db: never enqueued, deleted or pruned"),
        (("shop",), 2, "run takes an app and one job's id, as in: turnspit run shop.jobs:app 113"),
        (("shop", "x"), 2, "run takes an app and one job's id, as in: turnspit run shop.jobs:app 113"),
        (("shop", "1", "2"), 2, "run takes an app and one job's id, as in: turnspit run shop.jobs:app 113"),
        (("other:app", "1"), 2, "job 1 is of the task 'make_invoice', which this app does not declare"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    cli: Cli, folder: Path, keep: Callable[[], None], words: tuple[str, ...], code: int, message: str
) -> None:
    (folder / "other.py").write_text("from turnspit import Turnspit\napp = Turnspit('sqlite:///shop.db')\n")
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    keep()
    answer = cli("run", *words)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err == f"turnspit: {message.replace('{cwd}', str(folder))}\n"


def test_a_lifespan_that_fails_shows_its_traceback(cli: Cli, folder: Path, keep: Callable[[], None]) -> None:
    (folder / "broken.py").write_text(
        "from shop import app\n@app.lifespan\nasync def lifespan(app):\n    raise KeyError('SMTP_PORT')\n    yield\n"
    )
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    keep()
    answer = cli("run", "broken:app", "1")
    assert (answer.code, answer.out) == (1, "")
    assert f'File "{folder}/broken.py", line 4, in lifespan' in answer.err
    assert answer.err.endswith("turnspit: job 1 was not run: KeyError: 'SMTP_PORT'\n")
