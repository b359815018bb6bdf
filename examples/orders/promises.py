"""Did the shop keep its promises? Answered from what it left behind, not from what the demo counted.

The store says what became of each accepted job and when, the mailbox which e-mails arrived, the ledgers of the payment
gateway and the carrier which cards were charged and which parcels were sent, and the folder of invoices which PDFs are
whole. The demo ends with it; to look again:

    python -m examples.orders.promises
"""

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mailbox import Maildir
from pathlib import Path
from typing import Any

from examples.orders.tasks import STORE, app
from examples.orders.view import open_console
from turnspit import Job, JobState, Turnspit

FOLDER = Path("demo")


@dataclass(frozen=True)
class Finding:
    """One line of the summary."""

    kept: bool
    """Whether this is as promised."""
    text: str

    @property
    def style(self) -> str:
        """Its colour in a terminal."""
        return "green" if self.kept else "bold red"

    def __str__(self) -> str:
        return f"{'✔' if self.kept else '✘'} {self.text}"


@dataclass(frozen=True)
class Evidence:
    """What the shop left behind in its folder."""

    accepted: dict[int, list[int]]
    """Each order that the front answered with 202, and the ids of its jobs."""
    jobs: dict[int, Job[Any]]
    emails: Counter[str]
    """Message-IDs in the mailbox."""
    charges: Counter[int]
    """Orders in the gateway's ledger."""
    parcels: Counter[int]
    """Orders in the carrier's ledger."""
    refused: int
    """How many requests the carrier refused, because they came too fast."""
    invoices: set[int]
    """Orders with a whole PDF."""
    replayed: dict[int, str]
    """Each dead letter that was replayed, and why it was one."""
    report: str
    """What the daily report says."""
    killed: dict[str, list[int]]
    """Each worker that was killed, as the store names it, and the jobs that it was running."""

    @classmethod
    def collect(cls, app: Turnspit, folder: Path) -> "Evidence":
        """Read the store and the folder."""
        shipments = _lines(folder / "shipments.jsonl")
        report = folder / "report.txt"
        return cls(
            accepted={answer["order"]: answer["jobs"] for answer in _lines(folder / "accepted.jsonl")},
            jobs={job.id: job for job in _all_jobs(app)},
            emails=Counter(str(message["Message-ID"]) for message in Maildir(folder / "mailbox")),
            charges=Counter(charge["order"] for charge in _lines(folder / "charges.jsonl")),
            invoices={int(path.stem) for path in (folder / "invoices").glob("*.pdf") if _is_whole(path)},
            parcels=Counter(shipment["order"] for shipment in shipments if not shipment["refused"]),
            refused=sum(shipment["refused"] for shipment in shipments),
            replayed={dead["job"]: dead["reason"] for dead in _lines(folder / "replayed.jsonl")},
            report=report.read_text() if report.exists() else "",
            killed={kill["worker"]: kill["jobs"] for kill in _lines(folder / "killed.jsonl")},
        )

    def find(self, task: str) -> dict[int, Job[Any]]:
        """Each accepted order's job of this task, as far as the store has it."""
        found = ((order, self.jobs.get(job)) for order, jobs in self.accepted.items() for job in jobs)
        return {order: job for order, job in found if job is not None and job.task == task}


def examine(evidence: Evidence) -> list[Finding]:
    """The summary: what was promised and whether it was kept."""
    return [
        *_confirmed(evidence),
        *_invoiced_and_paid(evidence),
        *_shipped(evidence),
        *_rescued(evidence),
        *_replayed(evidence),
        *_ended(evidence),
    ]


def _confirmed(evidence: Evidence) -> Iterator[Finding]:
    jobs = evidence.find("send_confirmation")
    confirmed = {order for order, job in jobs.items() if message_id(job) in evidence.emails}
    lost = sorted(evidence.accepted.keys() - confirmed)
    strange = sorted(evidence.emails.keys() - {message_id(job) for job in jobs.values()})
    repeated = evidence.emails.total() - len(evidence.emails)
    excused = {message_id(job) for job in jobs.values() if job.crashes}
    careless = sorted(message for message, count in evidence.emails.items() if count > 1 and message not in excused)
    why = " (killed between sending and finishing; same Message-ID)" if repeated else ""
    yield Finding(
        not lost, f"{len(confirmed)} orders confirmed, {len(lost)} lost, {_count(repeated, 'e-mail')} repeated{why}"
    )
    yield from _broken("accepted, but no confirmation in the mailbox: order", lost)
    yield from _broken("e-mails that belong to no accepted order:", strange)
    yield from _broken("e-mails repeated although no worker was killed over them:", careless)


def _invoiced_and_paid(evidence: Evidence) -> Iterator[Finding]:
    paid = {order for order, job in evidence.find("charge_payment").items() if job.state is JobState.COMPLETED}
    retried = sum(attempt.outcome == "failed" for job in evidence.jobs.values() for attempt in job.attempts)
    missing = sorted(evidence.accepted.keys() - evidence.invoices)
    twice = sorted(order for order, count in evidence.charges.items() if count > 1)
    different = sorted(paid ^ evidence.charges.keys())
    yield Finding(
        not (missing or twice or different),
        f"{len(evidence.invoices)} invoices written, {len(evidence.charges)} payments taken, {len(twice)} twice, "
        f"{_count(retried, 'failed attempt')} tried again",
    )
    yield from _broken("accepted, but no whole invoice: order", missing)
    yield from _broken("charged more than once: order", twice)
    yield from _broken("the store and the gateway's ledger differ: order", different)


def _shipped(evidence: Evidence) -> Iterator[Finding]:
    twice = sorted(order for order, count in evidence.parcels.items() if count > 1)
    missing = sorted(evidence.accepted.keys() ^ evidence.parcels.keys())
    early = sorted(_early(evidence))
    reported = evidence.report == f"orders shipped: {len(evidence.parcels)}\n"
    yield Finding(
        not (twice or missing or early or evidence.refused) and reported,
        f"{len(evidence.parcels)} parcels sent, {len(twice)} twice, each step after those before it; the carrier "
        f"refused {evidence.refused}, and the daily report agrees",
    )
    yield from _broken("sent more than once: order", twice)
    yield from _broken("accepted and not sent, or sent and not accepted: order", missing)
    yield from _broken("begun before what it waits for had ended: job", early)
    yield from _broken("the daily report says:", [] if reported else [evidence.report.strip() or "nothing"])


def _early(evidence: Evidence) -> Iterator[int]:
    """Jobs that the store says began before a job that they wait for had ended."""
    for jobs in evidence.accepted.values():
        charge, reserve, invoice, ship, confirm = (evidence.jobs.get(job) for job in jobs)
        edges = [(charge, reserve), (charge, invoice), (reserve, ship), (invoice, ship), (ship, confirm)]
        for first, second in edges:
            if first is None or second is None or first.finished_at is None or second.started_at is None:
                continue
            if second.started_at < first.finished_at:
                yield second.id


def _replayed(evidence: Evidence) -> Iterator[Finding]:
    for number, reason in evidence.replayed.items():
        job = evidence.jobs.get(number)
        went_on = job is not None and job.state is JobState.COMPLETED
        what = "and its order went on" if went_on else "but did not complete"
        yield Finding(went_on, f"job {number} was dead ({reason}); replayed, {what}")
    if not evidence.replayed:
        yield Finding(False, "PROMISE BROKEN: no job became a dead letter, so no replay was shown")


def _rescued(evidence: Evidence) -> Iterator[Finding]:
    for worker, jobs in evidence.killed.items():
        helpers = {job: _helper(evidence.jobs.get(job), worker) for job in jobs}
        left = [job for job, helper in helpers.items() if helper is None]
        names = sorted({process_of(helper) for helper in helpers.values() if helper is not None})
        yield Finding(
            not left,
            f"{len(jobs) - len(left)} of {_count(len(jobs), 'job')} of the killed worker {process_of(worker)} "
            f"finished by worker {', '.join(names) or 'none'}",
        )
        yield from _broken("not finished by another worker: job", left)
    if not any(evidence.killed.values()):
        yield Finding(False, "PROMISE BROKEN: no worker was killed with jobs running, so no rescue was shown")


def _helper(job: Job[Any] | None, killed: str) -> str | None:
    """Which other worker ended a job that crashed on the killed one."""
    attempts = job.attempts if job is not None and job.state.is_final else ()
    crashed = any(attempt.outcome == "crashed" and attempt.worker == killed for attempt in attempts)
    return attempts[-1].worker if crashed and attempts[-1].worker != killed else None


def _ended(evidence: Evidence) -> Iterator[Finding]:
    accepted = {job for jobs in evidence.accepted.values() for job in jobs}
    stored = {job.id for job in evidence.jobs.values() if job.task != "daily_report"}
    yield from _broken("accepted, but not in the store: job", sorted(accepted - stored))
    yield from _broken("in the store, but never accepted: job", sorted(stored - accepted))
    yield from _broken("not ended: job", [job.id for job in evidence.jobs.values() if not job.state.is_final])
    failed = [job for job in evidence.jobs.values() if job.state in (JobState.DEAD, JobState.CANCELLED)]
    for job in failed:
        yield Finding(False, f"{job.state}: job {job.id} {job.task}, {job.reason}{_cure(job)}")


def _cure(job: Job[Any]) -> str:
    """What to type; nothing where the store ends with the demo."""
    return f" → {_turnspit()} jobs replay {STORE} {job.id}" if STORE.startswith("sqlite") else ""


def _turnspit() -> str:
    """The command as it can be typed here: ``make demo`` has it in its own environment only."""
    return "turnspit" if shutil.which("turnspit") else os.path.relpath(Path(sys.executable).with_name("turnspit"))


def message_id(job: Job[Any]) -> str:
    """The Message-ID that a job's e-mail has, made from its idempotency key."""
    return f"<turnspit-{job.task}-{job.id}@shop.example>"


def process_of(worker: str) -> str:
    """The process id in a worker's name, ``host:pid#number``."""
    return worker.rpartition(":")[2].partition("#")[0]


def _broken(what: str, which: Iterable[object]) -> Iterator[Finding]:
    names = [str(each) for each in which]
    if names:
        yield Finding(False, f"PROMISE BROKEN: {what} {', '.join(names)}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _is_whole(path: Path) -> bool:
    content = path.read_bytes()
    return content.startswith(b"%PDF") and content.rstrip().endswith(b"%%EOF")


def _all_jobs(app: Turnspit) -> Iterator[Job[Any]]:
    after: str | None = None
    while True:
        page = app.jobs.list(limit=1000, after=after)
        yield from page
        if (after := page.next) is None:
            return


def main() -> int:
    """Print the summary; 0 if every promise was kept, 1 if not, 2 if there is no demo to look at."""
    if not (FOLDER / "accepted.jsonl").exists():
        print(f"there is no ./{FOLDER} here: run python -m examples.orders.demo first", file=sys.stderr)
        return 2
    if STORE.startswith("sqlite") and not (FOLDER / "shop.db").exists():
        print(f"./{FOLDER} is of a demo on PostgreSQL, whose store ended with it", file=sys.stderr)
        return 2
    with app:
        findings = examine(Evidence.collect(app, FOLDER))
    console = open_console()
    for finding in findings:
        console.print(str(finding), style=finding.style)
    return 0 if all(finding.kept for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
