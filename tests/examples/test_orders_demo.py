"""The demo: a short run with a short lease, and whether its summary notices a broken promise.

The run is one for all tests here; each test that breaks something breaks a copy.
"""

import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from examples.orders.promises import Evidence, examine
from tests.examples.programs import ENVIRONMENT, run
from tests.programs import running

from turnspit import Turnspit

pytestmark = pytest.mark.slow

ORDERS = 40
AS_IN_A_TERMINAL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever runs the tests may ignore it
runpy.run_module("examples.orders.demo", run_name="__main__")
"""


class Printed(NamedTuple):
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Printed, Path]:
    """What the demo printed, and a copy of the folder that it left. However many processes run these tests, the first
    that needs it runs it, and the others wait.
    """
    own = tmp_path_factory.getbasetemp()
    everybody = own if worker_id == "master" else own.parent
    folder, printed = everybody / "first-shop", everybody / "first-shop.json"
    with (everybody / "first-shop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            folder.mkdir(exist_ok=True)
            answer = run(folder, "-m", "examples.orders.demo", "--orders", str(ORDERS), "--lease", "2")
            assert answer.returncode == 0, answer.stdout + answer.stderr
            printed.write_text(json.dumps(Printed(answer.stdout, answer.stderr)))
    copy = tmp_path_factory.mktemp("shop")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    return Printed(*json.loads(printed.read_text())), copy


@pytest.fixture
def store(demo: tuple[Printed, Path]) -> Iterator[Turnspit]:
    with Turnspit(f"sqlite:///{demo[1]}/demo/shop.db") as store:
        yield store


@pytest.fixture
def evidence(demo: tuple[Printed, Path], store: Turnspit) -> Evidence:
    return Evidence.collect(store, demo[1] / "demo")


def broken(evidence: Evidence) -> list[str]:
    return [finding.text for finding in examine(evidence) if not finding.kept]


def test_it_reads_as_promised(demo: tuple[Printed, Path]) -> None:
    answer, _ = demo
    expected = [
        r"store \./demo/shop\.db · 2 workers · mail to localhost:\d+",
        r"\d\d:\d\d   order 1017 refused: email: value is not a valid email address: .* must have an @-sign\.",
        r"\d\d:\d\d  +\d+ paid, +\d+ invoiced, +\d+ shipped, +\d+ confirmed of 40, \d+ retrying, \d dead",
        r"\d\d:\d\d   worker (\d+) killed with \d+ jobs running",
        r"\d\d:\d\d   its \d+ jobs rescued by worker \d+",
        r"✔ 39 orders confirmed, 0 lost, [1-9] e-mails? repeated \(killed between sending .*; same Message-ID\)",
        r"\d\d:\d\d   job 186 charge_payment is dead: card declined; replayed, as the bank lifted its block",
        r"✔ 39 invoices written, 39 payments taken, 0 twice, \d+ failed attempts tried again",
        r"✔ 39 parcels sent, 0 twice, each step after those before it; the carrier refused 0, and the daily .*",
        r"✔ (\d+) of \1 jobs of the killed worker \d+ finished by worker \d+",
        r"✔ job 186 was dead \(card declined\); replayed, and its order went on",
        r"Next: examples/orders/tasks\.py, \./demo/invoices",
    ]
    for line in expected:
        assert re.search(f"^{line}$", answer.stdout, re.MULTILINE), f"no line like {line!r} in:\n{answer.stdout}"
    assert answer.stderr == ""


def test_retries_show(evidence: Evidence) -> None:
    failed = [attempt for job in evidence.jobs.values() for attempt in job.attempts if attempt.outcome == "failed"]
    assert failed
    assert {attempt.error_type for attempt in failed} == {"HTTPStatusError"}


def test_a_step_that_begins_too_early_is_noticed(evidence: Evidence) -> None:
    charge, reserve, *_ = evidence.accepted[1001]
    swapped = dataclasses.replace(evidence, jobs=evidence.jobs | {reserve: evidence.jobs[charge]})
    assert f"PROMISE BROKEN: begun before what it waits for had ended: job {charge}" in broken(swapped)


def test_a_parcel_sent_twice_is_noticed(evidence: Evidence) -> None:
    parcels = evidence.parcels + Counter([1001])
    assert "PROMISE BROKEN: sent more than once: order 1001" in broken(dataclasses.replace(evidence, parcels=parcels))


def test_a_replay_that_did_not_help_is_noticed(evidence: Evidence) -> None:
    jobs = {number: job for number, job in evidence.jobs.items() if number != 186}
    said = broken(dataclasses.replace(evidence, jobs=jobs))
    assert "job 186 was dead (card declined); replayed, but did not complete" in said
    assert "PROMISE BROKEN: no job became a dead letter, so no replay was shown" in broken(
        dataclasses.replace(evidence, replayed={})
    )


def test_a_lost_email_is_noticed(evidence: Evidence) -> None:
    emails = Counter(evidence.emails)
    del emails[evidence.find("send_confirmation")[1005].get_result(timeout=0)]
    [summary, lost] = broken(dataclasses.replace(evidence, emails=emails))
    assert summary.startswith("38 orders confirmed, 1 lost")
    assert lost == "PROMISE BROKEN: accepted, but no confirmation in the mailbox: order 1005"


def test_an_email_sent_twice_without_a_crash_is_noticed(evidence: Evidence) -> None:
    calm = next(job for job in evidence.find("send_confirmation").values() if not job.crashes)
    message = calm.get_result(timeout=0)
    emails = evidence.emails + Counter([message])
    assert broken(dataclasses.replace(evidence, emails=emails)) == [
        f"PROMISE BROKEN: e-mails repeated although no worker was killed over them: {message}"
    ]


def test_an_email_for_nobody_is_noticed(evidence: Evidence) -> None:
    emails = evidence.emails + Counter(["<stranger@shop.example>"])
    assert broken(dataclasses.replace(evidence, emails=emails)) == [
        "PROMISE BROKEN: e-mails that belong to no accepted order: <stranger@shop.example>"
    ]


def test_a_double_charge_is_noticed(evidence: Evidence) -> None:
    charges = evidence.charges + Counter([1002])
    assert "PROMISE BROKEN: charged more than once: order 1002" in broken(
        dataclasses.replace(evidence, charges=charges)
    )


def test_a_charge_that_the_store_does_not_know_is_noticed(evidence: Evidence) -> None:
    charges = evidence.charges + Counter([1017])
    assert "PROMISE BROKEN: the store and the gateway's ledger differ: order 1017" in broken(
        dataclasses.replace(evidence, charges=charges)
    )


def test_a_lost_job_is_noticed(evidence: Evidence) -> None:
    jobs = {number: job for number, job in evidence.jobs.items() if number != 7}
    assert "PROMISE BROKEN: accepted, but not in the store: job 7" in broken(dataclasses.replace(evidence, jobs=jobs))


def test_a_job_out_of_nowhere_is_noticed(evidence: Evidence) -> None:
    accepted = {order: jobs for order, jobs in evidence.accepted.items() if order != 1001}
    assert "PROMISE BROKEN: in the store, but never accepted: job 1, 2, 3, 4, 5" in broken(
        dataclasses.replace(evidence, accepted=accepted)
    )


def test_a_job_that_nobody_rescued_is_noticed(evidence: Evidence) -> None:
    calm = next(job for job in evidence.jobs.values() if not job.crashes)
    [(worker, jobs)] = evidence.killed.items()
    assert f"PROMISE BROKEN: not finished by another worker: job {calm.id}" in broken(
        dataclasses.replace(evidence, killed={worker: [*jobs, calm.id]})
    )


def test_a_kill_that_hit_nothing_proves_nothing(evidence: Evidence) -> None:
    [worker] = evidence.killed
    assert broken(dataclasses.replace(evidence, killed={worker: []})) == [
        "PROMISE BROKEN: no worker was killed with jobs running, so no rescue was shown"
    ]


def test_a_broken_promise_is_the_exit_code_and_half_an_invoice_is_none(
    demo: tuple[Printed, Path], tmp_path: Path
) -> None:
    shutil.copytree(demo[1] / "demo", tmp_path / "demo")
    invoice = tmp_path / "demo" / "invoices" / "1003.pdf"
    invoice.write_bytes(invoice.read_bytes()[:-100])
    answer = run(tmp_path, "-m", "examples.orders.promises")
    assert answer.returncode == 1, answer.stderr
    assert "✘ PROMISE BROKEN: accepted, but no whole invoice: order 1003\n" in answer.stdout


def test_every_workflow_completed(store: Turnspit) -> None:
    flows = store.workflows.list(limit=100)
    assert {flow.state for flow in flows} == {"completed"}
    assert len(flows) == ORDERS - 1


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("years of work")
    answer = run(tmp_path, "-m", "examples.orders.demo")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "./demo exists and is not from an earlier demo: move it away, or start elsewhere\n"
    assert (tmp_path / "demo" / "thesis.txt").read_text() == "years of work"


def test_there_is_no_summary_without_a_demo(tmp_path: Path) -> None:
    answer = run(tmp_path, "-m", "examples.orders.promises")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "there is no ./demo here: run python -m examples.orders.demo first\n"
    assert not (tmp_path / "demo").exists()


def test_ctrl_c_ends_it_and_its_workers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AS_IN_A_TERMINAL]
    pipe = subprocess.PIPE
    with running(*command, cwd=tmp_path, env=ENVIRONMENT, stdout=pipe, stderr=pipe) as demo:
        assert demo.stdout is not None
        next(line for line in demo.stdout if "refused" in line)
        os.killpg(demo.pid, signal.SIGINT)  # a terminal sends it to the workers too
        _, errors = demo.communicate(timeout=30)
    assert (demo.returncode, errors) == (130, "")
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)
