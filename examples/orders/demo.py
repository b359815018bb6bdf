"""A shop's 200 orders, worked off before your eyes, with a worker killed at the worst moment.

    python -m examples.orders.demo

The orders of orders.csv are posted to the web front (front.py); two worker processes run their workflows (tasks.py)
against a mail server, an unreliable payment gateway and a carrier (outside.py). Half-way, at the moment when an e-mail
was delivered and its worker does not know it yet, that worker is killed with SIGKILL. A declined card makes a dead
letter, which is replayed when the bank has lifted its block: its order goes on. In the end promises.py reads from the
store, the mailbox, the ledgers and the invoices whether anything was lost. Everything is left in ./demo.
"""

import argparse
import asyncio
import contextlib
import csv
import json
import os
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
from starlette.applications import Starlette

from examples.orders.front import front
from examples.orders.outside import Carrier, Gateway, MailServer, serve_http, serve_smtp
from examples.orders.promises import FOLDER, message_id, process_of
from examples.orders.promises import main as print_summary
from examples.orders.tasks import STORE, app
from examples.orders.view import Counts, View
from turnspit import JobState
from turnspit.states import FINAL_STATES

CONCURRENCY = 8
FEWEST_ORDERS = 40
ORDERS_A_SECOND = 20
LONGEST = 50.0
NEXT = "Next: examples/orders/tasks.py, ./demo/invoices"


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


class Demo:
    """One run of the demo."""

    def __init__(self, orders: list[dict[str, str]], lease: float, view: View) -> None:
        self._orders = orders
        self._lease = lease
        self._view = view
        self._posted = 0
        self._accepted = 0
        self._workers: dict[str, Process] = {}
        self._killed: str | None = None
        self._jobs_killed: list[int] = []
        self._rescued = False
        self._gateway = Gateway(FOLDER / "charges.jsonl")
        self._acts = [self._replay, self._report]
        self._reports = 0

    async def run(self) -> None:
        """Open the shop, let all orders in and wait until they are worked off."""
        carrier = Carrier(FOLDER / "shipments.jsonl")
        async with (
            serve_smtp(MailServer(FOLDER / "mailbox", self._on_delivery)) as smtp_port,
            serve_http(Starlette(routes=[*self._gateway.routes, *carrier.routes])) as gateway_url,
            serve_http(front) as front_url,
            self._two_workers({"SMTP_PORT": str(smtp_port), "GATEWAY_URL": gateway_url}),
        ):
            self._view.say(f"store {_store()} · 2 workers · mail to localhost:{smtp_port}")
            posting = asyncio.create_task(self._post_orders(front_url))
            try:
                async with asyncio.timeout(LONGEST):
                    await self._watch(posting)
            except TimeoutError:
                self._view.event(f"not finished after {LONGEST:.0f} s")
            finally:
                posting.cancel()

    @contextlib.asynccontextmanager
    async def _two_workers(self, settings: dict[str, str]) -> AsyncIterator[None]:
        for number in (1, 2):
            with (FOLDER / f"worker-{number}.log").open("w") as log:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "turnspit", "worker", "examples.orders.tasks:app"),
                    *("--concurrency", str(CONCURRENCY), "--lease", str(self._lease), "--grace", "5"),
                    stdout=log,
                    stderr=log,
                    env=os.environ | settings,
                )
            self._workers[str(process.pid)] = process
        try:
            yield
        finally:
            running = [process for process in self._workers.values() if process.returncode is None]
            for process in running:
                process.terminate()
            for process in running:
                await process.wait()

    async def _post_orders(self, front_url: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with httpx.AsyncClient(base_url=front_url) as client:
            with (FOLDER / "accepted.jsonl").open("w") as accepted:
                for number, order in enumerate(self._orders):
                    await asyncio.sleep(began + number / ORDERS_A_SECOND - loop.time())
                    response = await client.post("/orders", json=order)
                    self._posted += 1
                    if response.status_code == httpx.codes.ACCEPTED:
                        print(json.dumps(response.json()), file=accepted)
                        self._accepted += 1
                    else:
                        self._view.event(f"order {order['id']} refused: {response.json()['error']}")

    async def _watch(self, posting: asyncio.Task[None]) -> None:
        ended = False
        while not ended:
            self._check_workers()
            if posting.done():
                posting.result()  # raises what stopped it
                ended = await self._all_ended() and not await self._go_on()
            self._view.show(await self._count())
            await self._record_kill()
            await self._report_rescue()
            await asyncio.sleep(0.25)

    async def _all_ended(self) -> bool:
        ended = [await app.jobs.acount(state=state) for state in FINAL_STATES]
        return sum(ended) == 5 * self._accepted + self._reports

    async def _go_on(self) -> bool:
        """When all has ended: first the bank lifts its block and the dead letters are replayed, then the report runs.

        :returns: whether there was anything left to do.
        """
        if self._acts:
            act = self._acts.pop(0)
            await act()
            return True
        return False

    async def _replay(self) -> None:
        dead = await app.jobs.alist(state=JobState.DEAD, limit=100)
        letters = [json.dumps({"job": job.id, "task": job.task, "reason": job.reason}) + "\n" for job in dead]
        (FOLDER / "replayed.jsonl").write_text("".join(letters))
        self._gateway.declines = False
        for job in dead:
            await app.jobs.areplay(job.id)
            self._view.event(f"job {job.id} {job.task} is dead: {job.reason}; replayed, as the bank lifted its block")

    async def _report(self) -> None:
        self._reports = 1
        await app.schedules.arun_now("daily_report")

    async def _count(self) -> Counts:
        return Counts(
            paid=await app.jobs.acount(state=JobState.COMPLETED, task="charge_payment"),
            invoiced=await app.jobs.acount(state=JobState.COMPLETED, task="make_invoice"),
            shipped=await app.jobs.acount(state=JobState.COMPLETED, task="ship"),
            confirmed=await app.jobs.acount(state=JobState.COMPLETED, task="send_confirmation"),
            retrying=await app.jobs.acount(state=JobState.SCHEDULED),
            dead=await app.jobs.acount(state=JobState.DEAD),
        )

    def _check_workers(self) -> None:
        for pid, process in self._workers.items():
            if process.returncode is not None and (self._killed is None or pid != process_of(self._killed)):
                raise DemoFailed(
                    f"worker {pid} ended by itself with exit code {process.returncode}: see ./{FOLDER}/*.log"
                )

    async def _on_delivery(self, delivered: str) -> None:
        """An e-mail is in the mailbox, and its worker does not know it yet: the worst moment to be killed."""
        if self._killed or self._posted < len(self._orders) / 2:
            return
        running = await app.jobs.alist(state=JobState.RUNNING, limit=1000)
        worker = next((job.worker for job in running if message_id(job) == delivered), None)
        busy = sum(job.worker == worker for job in running) >= CONCURRENCY
        late = self._posted > len(self._orders) * 3 / 4
        if worker and not self._killed and (busy or late):
            self._killed = worker
            self._workers[process_of(worker)].kill()

    async def _record_kill(self) -> None:
        if self._killed is None or self._jobs_killed:
            return
        pid = process_of(self._killed)
        await self._workers[pid].wait()
        running = await app.jobs.alist(state=JobState.RUNNING, limit=1000)
        self._jobs_killed = [job.id for job in running if job.worker == self._killed]
        (FOLDER / "killed.jsonl").write_text(json.dumps({"worker": self._killed, "jobs": self._jobs_killed}))
        self._view.event(f"worker {pid} killed with {len(self._jobs_killed)} jobs running")

    async def _report_rescue(self) -> None:
        if self._rescued or not self._jobs_killed:
            return
        if all([(await app.jobs.aget(job)).crashes for job in self._jobs_killed]):
            self._rescued = True
            [rescuer] = [pid for pid in self._workers if pid != process_of(str(self._killed))]
            self._view.event(f"its {len(self._jobs_killed)} jobs rescued by worker {rescuer}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if every promise was kept, 1 if not, 2 if it could not begin."""
    options = _parse(argv)
    try:
        orders = _read_orders(options.orders)
        _make_folder()
    except DemoFailed as error:
        print(error, file=sys.stderr)
        return 2
    try:
        with View(len(orders)) as view:
            asyncio.run(Demo(orders, options.lease, view).run())
    except DemoFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    exit_code = print_summary()
    print(NEXT)
    return exit_code


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.orders.demo", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--orders", type=int, default=200, metavar="N", help="how many rows of orders.csv (default: 200)"
    )
    parser.add_argument(
        "--lease", type=float, default=15.0, metavar="SECONDS", help="when a silent worker counts as dead (default: 15)"
    )
    return parser.parse_args(argv)


def _read_orders(number: int) -> list[dict[str, str]]:
    with Path(__file__).with_name("orders.csv").open(encoding="utf-8", newline="") as file:
        orders = list(csv.DictReader(file))
    if not FEWEST_ORDERS <= number <= len(orders):
        raise DemoFailed(f"--orders is from {FEWEST_ORDERS} to {len(orders)}, not {number}")
    return orders[:number]


def _store() -> str:
    return f"./{FOLDER}/shop.db" if STORE.startswith("sqlite") else app.engine.location


def _make_folder() -> None:
    """Make ./demo anew, unless it is somebody else's."""
    marker = FOLDER / "made-by-examples.orders.demo"
    if FOLDER.exists() and not marker.exists():
        raise DemoFailed(f"./{FOLDER} exists and is not from an earlier demo: move it away, or start elsewhere")
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "invoices").mkdir(parents=True)
    marker.touch()


if __name__ == "__main__":
    sys.exit(main())
