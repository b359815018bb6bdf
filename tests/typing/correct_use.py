"""What a type checker must accept, and the types that it must find. Read by mypy --strict and pyright, never run."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

from pydantic import BaseModel

from turnspit import Batch, Blueprint, Event, Job, JobContext, Retry, Turnspit, current_job
from turnspit.records import NewJob
from turnspit.tasks import AsyncTask, BoundTask, SyncTask

app = Turnspit("sqlite:///typing.db")
reports = Blueprint("reports")


def use(*values: object) -> None:
    """What is assigned is used."""


class Order(BaseModel):
    """An order."""

    number: int


@app.task
async def bare(to: str, order_id: int = 1) -> str:
    """Async, no parentheses."""
    return f"{to} {order_id}"


@app.task(queue="email", retry=Retry(attempts=5, on=ConnectionError), timeout=timedelta(seconds=30))
async def with_options(to: str, *, order_id: int) -> str:
    """Async, with options and a keyword-only argument."""
    return f"{to} {order_id}"


@app.task
def plain(number: int) -> list[int]:
    """Plain, no parentheses."""
    return [number]


@reports.task(timeout=5.0)
def plain_with_options(number: int) -> list[int]:
    """Plain, on a blueprint, with options."""
    return [number]


@reports.task
async def with_context(job: JobContext, number: int) -> UUID:
    """Async, with the running job."""
    return UUID(int=number)


@app.task
async def import_rows(rows: list[Order], tenant_id: int, *, dry: bool = False) -> None:
    """A list and something else."""


@app.task
def import_numbers(job: JobContext, numbers: Iterable[float]) -> None:
    """Something that a list is."""


@app.task()
def plain_with_context(job: JobContext, number: int) -> UUID:
    """Plain, with the running job."""
    return UUID(int=number)


@app.task
def one_model(order: Order) -> Order:
    """One pydantic model, in and out."""
    return order


@app.task
async def nothing() -> None:
    """Takes nothing, returns nothing."""


def the_decorator_keeps_the_signature() -> None:
    """A coroutine function becomes an ``AsyncTask``, a function a ``SyncTask``, without the leading context."""
    assert_type(bare("ada", 2), Coroutine[Any, Any, str]).close()
    assert_type(plain(2), list[int])
    assert_type(with_context(2), Coroutine[Any, Any, UUID]).close()
    assert_type(plain_with_context(number=2), UUID)
    assert_type(one_model(Order(number=1)), Order)
    sync_tasks: list[SyncTask[[int], list[int]]] = [plain, plain_with_options]
    async_task: AsyncTask[[int], UUID] = with_context
    assert_type(nothing, AsyncTask[[], None])
    use(sync_tasks, async_task)


async def a_plain_call_is_a_plain_call() -> None:
    """It returns what the function returns."""
    assert_type(await bare("ada"), str)
    assert_type(await with_context(3), UUID)
    assert_type(await nothing(), None)


def enqueue_knows_the_result() -> None:
    """``Job[R]`` carries the function's result type to ``get_result``."""
    assert_type(bare.enqueue("ada"), Job[str])
    assert_type(bare.enqueue(to="ada", order_id=7).get_result(timeout=1), str)
    assert_type(with_options.enqueue("ada", order_id=7), Job[str])
    assert_type(plain.enqueue(1).get_result(), list[int])
    assert_type(with_context.enqueue(number=1).get_result(), UUID)
    assert_type(one_model.enqueue(Order(number=1)).get_result(), Order)
    assert_type(nothing.enqueue().refresh(), Job[None])


async def aenqueue_knows_the_result() -> None:
    """The async twins too."""
    assert_type(await bare.aenqueue("ada"), Job[str])
    job = await plain_with_context.aenqueue(1)
    assert_type(job, Job[UUID])
    assert_type(await job.aget_result(timeout=1), UUID)
    assert_type(await job.arefresh(), Job[UUID])
    assert_type(await with_context.using(priority=3).aenqueue(1), Job[UUID])


def options_keep_the_signature() -> None:
    """``using(...)`` and ``new(...)`` are checked as the task itself."""
    later = bare.using(delay=timedelta(hours=24), priority=10, tags=["news"], metadata={"source": "web"})
    assert_type(later.enqueue(to="ada"), Job[str])
    assert_type(bare.using(at=datetime.now(UTC), queue="slow", timeout=5).enqueue("ada", order_id=1), Job[str])
    assert_type(plain.using(retry=Retry(delay=[1, 2.5])).new(1), NewJob[list[int]])
    bound: BoundTask[[int], UUID] = plain_with_context.using()
    use(bound)
    assert_type(with_context.new(1), NewJob[UUID])
    assert_type(app.enqueue_many((bare.new("ada", order_id=i) for i in range(3)), progress=use), list[int])


async def many_from_an_async_iterable() -> None:
    """Different tasks may be mixed."""

    async def jobs() -> AsyncIterator[NewJob[Any]]:
        yield bare.new("ada")
        yield plain.new(1)

    assert_type(await app.aenqueue_many(jobs(), chunk=10), list[int])


def the_jobs_of_an_app() -> None:
    """A job found by its id has an unknown result."""
    assert_type(app.jobs.get(42), Job[Any])
    found = app.jobs.list(state="dead", task="bare", args={"to": "ada"}, limit=10)
    assert_type(found[0], Job[Any])
    assert_type(found.next, str | None)
    assert_type(app.jobs.count(queue="email"), int)
    assert_type(current_job().attempt, int)


@app.on("completed", "dead")
def log(event: Event) -> None:
    """A plain handler keeps its type."""


@app.on("failed")
async def alog(event: Event) -> None:
    """An async handler too."""


@app.middleware
async def measure(job: JobContext, call_next: Callable[[JobContext], Awaitable[Any]]) -> Any:
    """A middleware keeps its type."""
    return await call_next(job)


@app.lifespan
async def lifespan(_: Turnspit) -> AsyncIterator[dict[str, Any]]:
    """A lifespan keeps its type."""
    yield {"printer": object()}


@app.task(isolate=True)
def in_a_process(job: JobContext, number: int) -> int:
    """Is called as any other task."""
    return number


@app.task(on_dead=lambda job, error: use(job.id, error), upgrade=lambda old: {"number": old["no"]}, keep_result=60)
def with_hooks(number: int) -> int:
    """Hooks are checked."""
    return number


def decorated_functions_keep_their_types() -> None:
    """Handlers, middleware and lifespans are still functions."""
    event = Event("dead", 1, "bare", "default", 1)
    handle: Callable[[Event], None] = log
    handle_async: Callable[[Event], Awaitable[None]] = alog
    use(event, handle, handle_async)
    assert_type(lifespan(app), AsyncIterator[dict[str, Any]])
    assert_type(with_hooks(1), int)


class Receipt(BaseModel):
    """What a payment gives."""

    number: str


@app.task
async def charge(order_id: int) -> Receipt:
    """Pay."""
    return Receipt(number=str(order_id))


@app.task
def ship(receipt: Receipt, note: str = "") -> int:
    """Send."""
    return len(receipt.number + note)


@app.task
def add_up(numbers: list[int]) -> int:
    """Take many results."""
    return sum(numbers)


@app.batch_task(size=10)
async def index(batch: Batch[Order]) -> None:
    """Take many jobs."""
    for item in batch:
        assert_type(item.value, Order)


@app.batch_task(size=10)
def index_in_a_thread(batch: Batch[Order]) -> None:
    """Take many jobs in a thread."""
    assert_type(batch.values, list[Order])


def build_workflows() -> None:
    """A result is to the type checker what it will be."""
    with app.workflow("fulfil") as flow:
        paid = flow.add(charge.new(7))
        assert_type(paid.result, Receipt)
        sent = flow.add(ship.new(paid.result, note=paid.result.number), after=[paid], on_failure="wait")
        many = flow.add_many(ship.new(Receipt(number=str(number))) for number in range(3))
        flow.add(add_up.new(many.results), after=[sent, "later"])
        flow.add(index.new(Order(number=1)), name="later")
    assert_type(flow.id, int)
    use(index.enqueue(Order(number=2)), index_in_a_thread.enqueue(Order(number=3)))
    use(app.chain(charge.new(1), charge.new(2)))


async def fan_out(orders: AsyncIterator[Order]) -> None:
    """Items of the list that the first argument is, and the other arguments by name."""
    assert_type(import_rows.map((Order(number=n) for n in range(3)), tenant_id=7), int)
    import_rows.map([Order(number=1)], chunk=100, name="import", tx=object(), tenant_id=7, dry=True)
    import_numbers.map(range(5))
    assert_type(await import_rows.amap(orders, chunk=10, tenant_id=7), int)
    await import_numbers.amap([1.5, 2])
