"""A shop's store after an hour of work, always the same: what the screenshots show and the browser tests press.

Time is the scene's own, so that nothing changes while it is looked at.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from tests.contract.store import SECOND, OwnedClock, Store
from turnspit import Cron, Every, JobContext, Queue, Turnspit
from turnspit.contract import Engine
from turnspit.records import Completion, Ending, EndingMove, ErrorRecord, LogLine, NewWorker, ProgressUpdate

NOON = 1_790_000_040 * SECOND
"""The moment at which the scene ends."""

_TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/shop/jobs.py", line 61, in charge_payment
    response.raise_for_status()
  File "/srv/shop/.venv/lib/python3.12/site-packages/httpx/_models.py", line 829, in raise_for_status
    raise HTTPStatusError(message, request=request, response=self)
httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://pay.example/charges'
"""
_DECLINED = ErrorRecord("CardDeclined", "card declined: insufficient funds", None, "charge_payment:CardDeclined")
_GATEWAY = ErrorRecord(
    "HTTPStatusError", "Server error '503 Service Unavailable'", _TRACEBACK, "charge_payment:HTTPStatusError"
)
_MAIL = ErrorRecord(
    "SMTPServerDisconnected", "Connection unexpectedly closed", None, "send_confirmation:SMTPServerDisconnected"
)
_IMAGE = ErrorRecord(
    "UnidentifiedImageError", "cannot identify image file", None, "resize_photo:UnidentifiedImageError"
)


def make_shop(url: str) -> Turnspit:
    """The app, with its tasks."""
    app = Turnspit(url, name="shop", durability="relaxed", queues=[Queue("reports", concurrency=2)])

    @app.task(queue="email")
    async def send_confirmation(to: str, order_id: int) -> str: ...

    @app.task(queue="payments")
    async def charge_payment(order_id: int, amount: float, card: str = "") -> str: ...

    @app.task(queue="invoices")
    def make_invoice(job: JobContext, order_id: int) -> str: ...

    @app.task(queue="images")
    def resize_photo(photo: str, width: int) -> None: ...

    @app.task(schedule=Cron("0 6 * * *", tz="Europe/Berlin", missed="run_once"))
    def daily_report() -> None: ...

    @app.task(schedule=Every(minutes=15, overlap="skip"))
    def poll_stock() -> None: ...

    @app.task(schedule=Cron("30 2 * * sun"))
    def clean_up() -> None: ...

    return app


class Scene:
    """The store and its moment."""

    def __init__(self, app: Turnspit, clock: OwnedClock) -> None:
        self.app = app
        self.clock = clock
        self.store = Store(app.engine, clock)
        self.chance = random.Random(7)
        self.order = 4100

    @property
    def engine(self) -> Engine:
        return self.app.engine

    def work(self, minutes: int) -> None:
        """Minutes of orders, with a slow payment gateway at the end."""
        self.workers = [self._worker("web-1", 4021), self._worker("web-2", 1877), self._worker("img-1", 960)]
        for minute in range(60 - minutes, 60):
            orders = round(6 + 5 * (1 + (minute % 20) / 20) + self.chance.random() * 5)
            self._enqueue_orders(orders)
            self._work_off(minute)
            self.clock.moment = NOON - (59 - minute) * 60 * SECOND
            for worker in self.workers[: 2 if minute > 40 else 3]:
                self.store.renew(worker, 40 * 60 * SECOND if worker == self.workers[2] else 90 * SECOND)

    def end_in_trouble(self) -> None:
        """What a person finds who looks at the dashboard now."""
        self.clock.moment = NOON - 7 * 60 * SECOND
        for number in range(34):
            self._enqueue("resize_photo", "images", photo=f"p/{number}.jpg", width=1200)
        self.clock.moment = NOON - 200 * SECOND
        for order in (4890, 4891, 4892):
            job = self._enqueue(
                "charge_payment", "payments", order_id=order, amount=order / 100, card="4111111111111111"
            )
            self._end(job, self.workers[0], _GATEWAY, EndingMove.DEAD, attempts=3)
            self.clock.moment = NOON - 200 * SECOND
        self.clock.moment = NOON
        self._run_some()
        self._run_a_workflow()
        self.store.insert(
            "send_confirmation", "email", args='{"to":"ada@example.com","order_id":4999}', delay=3600 * SECOND
        )
        self.engine.write(self.engine.rescue_jobs, self.workers[0], 3)

    def _run_a_workflow(self) -> None:
        """Of an import: some photos are done, one is dead, one runs, and the rest waits."""
        tasks, self.clock.moment = self.app.tasks, NOON - 50 * SECOND
        resize = tasks["resize_photo"]
        with self.app.workflow("import catalogue") as flow:
            fetch = flow.add(tasks["poll_stock"].new(), name="fetch catalogue")
            photos = [
                flow.add(resize.new(photo=f"c/{number}.jpg", width=800), name=f"photo {number}", after=[fetch])
                for number in range(1, 6)
            ]
            index = flow.add(tasks["clean_up"].new(), name="rebuild index", after=photos)
            flow.add(tasks["daily_report"].new(), name="tell the shop", after=[index])
            flow.add(tasks["make_invoice"].new(order_id=1), name="bill the supplier", after=[fetch])
        [fetched] = self.store.claim(1, worker=self.workers[0], tasks=tasks, job=self._of(flow.id, "fetch catalogue"))
        self.clock.advance(3)
        self.store.complete(fetched)
        for number, outcome in ((1, "done"), (2, "done"), (3, "dead"), (4, "running")):
            job = self._of(flow.id, f"photo {number}")
            [claim] = self.store.claim(1, worker=self.workers[2], tasks=tasks, job=job)
            self.clock.advance(1.5)
            if outcome == "done":
                self.store.complete(claim)
            elif outcome == "dead":
                self.store.end(claim, EndingMove.DEAD, error=_IMAGE)
            else:
                self.engine.write(self.engine.record_progress, [ProgressUpdate(job, claim.fence, 0.6, "cropping")])
        self.clock.moment = NOON

    def _of(self, workflow: int | None, name: str) -> int:
        return next(job.id for job in self.app.workflows.get(workflow or 0).jobs if job.name == name)

    def _worker(self, host: str, pid: int) -> int:
        tasks = frozenset(self.app.tasks)
        queues = ("images",) if host.startswith("img") else ("email", "payments", "invoices", "default")
        return self.engine.write(
            self.engine.register_worker, NewWorker(host, pid, "0.1.0", queues, tasks, 10, 90 * SECOND)
        )

    def _enqueue(self, task: str, queue: str, **arguments: object) -> int:
        new = (
            self.app.tasks[task]
            .using(queue=queue, tags=["vip"] if self.chance.random() < 0.1 else None)
            .new(**arguments)
        )
        return self.engine.write(self.engine.insert_job, new).id

    def _enqueue_orders(self, count: int) -> None:
        for _ in range(count):
            self.order += 1
            self._enqueue("send_confirmation", "email", to=f"customer{self.order}@example.com", order_id=self.order)
            self._enqueue("charge_payment", "payments", order_id=self.order, amount=19.9, card="4111111111111111")
            self._enqueue("make_invoice", "invoices", order_id=self.order)
            if self.chance.random() < 0.5:
                self._enqueue("resize_photo", "images", photo=f"p/{self.order}.jpg", width=800)

    def _work_off(self, minute: int) -> None:
        """Every job that is ready, one after the other, each for some time."""
        self.clock.advance(0.2)
        while claims := self.store.claim(10, worker=self.workers[0], tasks=self.app.tasks):
            for claim in claims:
                self.clock.advance(self.chance.expovariate(12.0))
                luck = self.chance.random()
                if claim.task == "charge_payment" and luck < (0.3 if minute > 52 else 0.04):
                    move, error = (EndingMove.DEAD, _DECLINED) if luck < 0.012 else (EndingMove.RETRY, _GATEWAY)
                    ending = Ending(claim.id, claim.fence, move, error, 40 * SECOND)
                    self.engine.write(self.engine.finish_jobs, [ending])
                elif claim.task == "send_confirmation" and luck < 0.01:
                    self.engine.write(self.engine.finish_jobs, [Ending(claim.id, claim.fence, EndingMove.DEAD, _MAIL)])
                elif claim.task == "resize_photo" and luck < 0.01:
                    self.engine.write(self.engine.finish_jobs, [Ending(claim.id, claim.fence, EndingMove.DEAD, _IMAGE)])
                else:
                    self.engine.write(self.engine.finish_jobs, [Completion(claim.id, claim.fence, '"done"')])
        self.store.promote()

    def _end(self, job: int, worker: int, error: ErrorRecord, last: EndingMove, *, attempts: int) -> None:
        for attempt in range(1, attempts + 1):
            self.clock.moment = NOON - (attempts - attempt + 1) * 45 * SECOND
            [claim] = self.store.claim(1, worker=worker, tasks=self.app.tasks, job=job)
            line = LogLine(attempt, None, "warning", f"the gateway answered 503 to attempt {attempt}")
            self.engine.write(
                self.engine.record_progress, [ProgressUpdate(job, claim.fence, 0.4, "asking the gateway", (line,))]
            )
            self.clock.advance(2.4)
            move = last if attempt == attempts else EndingMove.RETRY
            self.engine.write(self.engine.finish_jobs, [Ending(job, claim.fence, move, error)])
        self.clock.moment = NOON

    def _run_some(self) -> None:
        self.clock.moment = NOON - 4 * SECOND
        for number, worker in enumerate(self.workers[:2]):
            jobs = [self._enqueue("make_invoice", "invoices", order_id=5000 + number * 10 + each) for each in range(3)]
            jobs += [self._enqueue("send_confirmation", "email", to=f"c{number}@example.com", order_id=5000 + number)]
            for job in jobs:
                [claim] = self.store.claim(1, worker=worker, tasks=self.app.tasks, job=job)
                if claim.task == "make_invoice":
                    update = ProgressUpdate(job, claim.fence, self.chance.random(), "rendering page 3 of 7")
                    self.engine.write(self.engine.record_progress, [update])
        self.clock.moment = NOON
        for worker in self.workers[:2]:
            self.engine.write(self.engine.renew_lease, worker, 15 * SECOND, (90 + 7 * worker) << 20)


@contextmanager
def shop_at_noon(url: str, minutes: int = 60) -> Iterator[Scene]:
    """The scene on a store, after so many minutes of work."""
    app, clock = make_shop(url), OwnedClock()
    clock.moment = NOON - minutes * 60 * SECOND
    app.engine.clock = clock
    with app:
        scene = Scene(app, clock)
        scene.app.schedules.synchronise()
        scene.work(minutes)
        scene.end_in_trouble()
        yield scene
