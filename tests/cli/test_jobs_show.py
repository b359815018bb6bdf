"""``turnspit jobs show``: everything about a job."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from turnspit import JobContext, Turnspit
from turnspit.records import NewJob

DEAD = """\
job 1  send_confirmation  dead
  error      ConnectionError: no route for order 2
  queue      email, priority 3
  arguments  {"to": "bob@down.example", "order_id": 2}
  tags       vip
  metadata   {"source": "till"}
  enqueued   TIME (3 min ago)
  due        TIME (3 min ago)
  started    TIME (3 min ago)
  ended      TIME (3 min ago)
  worker     WORKER
  group      GROUP

attempts
     OUTCOME  STARTED    TOOK  ERROR
  1  failed   3 min ago  MS    ConnectionError: no route for order 2
  2  dead     3 min ago  MS    ConnectionError: no route for order 2

traceback of attempt 2
  Traceback (most recent call last):
    File "FOLDER/shop.py", line 21, in send_confirmation
      raise ConnectionError(f"no route for order {order_id}")
  ConnectionError: no route for order 2

→ turnspit jobs replay shop 1
→ turnspit run shop 1 --pdb
"""

INVOICE = """\
job 1  make_invoice  completed
  queue      default, priority 0
  arguments  {"order_id": 7}
  enqueued   TIME (3 min ago)
  started    TIME (3 min ago)
  ended      TIME (3 min ago)
  worker     WORKER
  progress   50% rendering
  result     {"order": 7, "attempt": 1}

attempts
     OUTCOME    STARTED    TOOK  ERROR
  1  completed  3 min ago  MS

log
  TIME  attempt 1  warning  two pages
"""


def settled(text: str, folder: Path) -> str:
    """The text without what differs from run to run."""
    text = re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", text)
    text = re.sub(r"\b\d+ ms *", "MS    ", text)
    text = re.sub(r"(?<=group      )\w{12}", "GROUP", text)
    text = re.sub(r" +$", "", re.sub(r"TOOK +", "TOOK  ", text), flags=re.MULTILINE)
    return re.sub(r"\S+:\d+#\d+", "WORKER", text).replace(str(folder), "FOLDER")


@pytest.mark.usefixtures("later")
def test_a_dead_letter_is_shown_with_its_attempts_traceback_and_the_next_step(
    cli: Cli, work: Callable[[], None], folder: Path
) -> None:
    cli("enqueue", "shop", "send_confirmation", "to=bob@down.example", "order_id=2", "--priority", "3", "--tag", "vip",
        "--metadata", "source=till")  # fmt: skip
    work()
    answer = cli("jobs", "show", "shop", "1")
    assert (answer.code, answer.err) == (0, "")
    assert settled(answer.out, folder) == DEAD


@pytest.mark.usefixtures("later")
def test_a_completed_job_is_shown_with_its_result_and_its_log(cli: Cli, work: Callable[[], None], folder: Path) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    work()
    answer = cli("jobs", "show", "shop", "1")
    assert settled(answer.out, folder) == INVOICE


def test_the_times_are_absolute_and_relative(cli: Cli) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7", "--delay", "90m")
    [due] = [line for line in cli("jobs", "show", "shop", "1").out.splitlines() if line.startswith("  due")]
    assert re.fullmatch(r"  due        20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC \(in 89 min\)", due)


def test_json_has_result_attempts_and_logs(cli: Cli, work: Callable[[], None]) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    cli("enqueue", "shop", "make_invoice", "order_id=-7")
    work()
    done = json.loads(cli("jobs", "show", "shop", "1", "--json").out)
    assert (done["has_result"], done["result"]) == (True, {"order": 7, "attempt": 1})
    assert [(line["attempt"], line["level"], line["message"]) for line in done["logs"]] == [(1, "warning", "two pages")]
    failed = json.loads(cli("jobs", "show", "shop", "2", "--json").out)
    [attempt] = failed["attempts"]
    assert list(attempt) == [
        "number",
        "outcome",
        "started_at",
        "finished_at",
        "worker",
        "error_type",
        "error_message",
        "traceback",
    ]
    assert (attempt["number"], attempt["outcome"], attempt["error_type"]) == (1, "failed", "ValueError")
    assert (failed["has_result"], failed["result"]) == (False, None)


def test_several_jobs_are_shown_apart(cli: Cli) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    cli("enqueue", "shop", "make_invoice", "order_id=8")
    out = cli("jobs", "show", "sqlite:///shop.db", "1", "2").out
    assert re.findall(r"^(?:job \d|)$|^job \d", out, re.MULTILINE)[:3] == ["job 1", "", "job 2"]


def test_a_long_value_goes_on_below_itself_at_80_columns(cli: Cli) -> None:
    cli("enqueue", "shop", "send_confirmation", f"to={'x' * 200}", "order_id=1")
    lines = cli("jobs", "show", "shop", "1").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if re.fullmatch(r" {13}x+[\",]*", line)]) >= 2


def test_what_a_job_carries_cannot_write_to_the_terminal(cli: Cli, store: Turnspit, shop: Any) -> None:
    shop.send_confirmation.using(tags=["[red]tag[/red]"]).enqueue(to="\x1b[31mred\x07\r\u202e", order_id=1)
    shown = cli("jobs", "show", "shop", "1").out
    listed = cli("jobs", "list", "shop").out
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", shown + listed)
    assert "[red]tag[/red]" in shown
    assert r"\u001b[31mred\u0007\r" in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("7",), 1, "there is no job 7 at {cwd}/shop.db: never enqueued, deleted or pruned"),
        ((), 2, "which job? Name its id, as in: turnspit jobs show shop.jobs:app 113"),
        (("1", "x"), 2, "'x' is no job's id: ids are numbers, as `turnspit jobs list` shows them"),
        (("1", "2", "--json"), 2, "--json shows one job at a time; for several use: turnspit jobs list --json"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    cli: Cli, folder: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    answer = cli("jobs", "show", "shop", *words)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err == f"turnspit: {message.replace('{cwd}', str(folder))}\n"


def test_a_log_line_of_many_lines_cannot_look_like_another(cli: Cli) -> None:
    with Turnspit("sqlite:///forged.db") as app:

        @app.task
        async def forge(job: JobContext) -> None:
            job.log("a\n2030-01-01 12:00:00 UTC  attempt 1  info  forged")

        forge.enqueue()
        app.run_worker(until_empty=True)
    lines = cli("jobs", "show", "sqlite:///forged.db", "1").out.splitlines()
    assert lines[lines.index("log") + 2] == "    2030-01-01 12:00:00 UTC  attempt 1  info  forged"


def test_the_last_day_of_time_is_shown_where_it_is_later_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    assert cli("enqueue", "shop", "make_invoice", "order_id=7", "--at", "9999-12-31T23:59:00Z").code == 0
    assert "due        9999-12-31 23:59:00 UTC (in " in cli("jobs", "show", "shop", 1).out


@pytest.mark.parametrize("stored", ["null", "7", '"text"', "no JSON"])
def test_tags_that_are_no_list_are_none(cli: Cli, store: Turnspit, stored: str) -> None:
    """As a program that writes into the table itself may leave them."""
    engine = store.engine
    engine.write(engine.insert_job, NewJob("make_invoice", "default", '{"order_id":7}', tags=stored))
    answer = cli("jobs", "show", "sqlite:///shop.db", "1")
    assert answer.code == 0
    assert "tags" not in answer.out
