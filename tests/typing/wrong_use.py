"""What a type checker must refuse.

Each line names the error of mypy and the error of pyright. Where one of them reports nothing, the check fails, because
an unneeded comment is an error too.
"""

from collections.abc import Sequence
from datetime import timedelta

from turnspit import Blueprint, Job, JobContext, Retry, Turnspit

app = Turnspit("sqlite:///typing.db")
reports = Blueprint("reports")


def use(*values: object) -> None:
    """What is assigned is used."""


@app.task
async def send(to: str, order_id: int = 1) -> str:
    """An async task."""
    return f"{to} {order_id}"


@reports.task(queue="slow")
def build(job: JobContext, *, month: str) -> int:
    """A plain task with the running job."""
    return len(month)


@app.task
def render(job: JobContext, number: int) -> int:
    """A plain task with the running job."""
    return number


@app.task
async def import_rows(rows: Sequence[int], tenant_id: int) -> None:
    """A task with a list first."""


def wrong_arguments() -> None:
    """The function's own signature decides."""
    send.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send.enqueue(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send.enqueue(to="ada", order="7")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send.enqueue(to="ada", order_id="7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    build.enqueue("2026-01")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    render.enqueue(JobContext.detached(), 1)  # type: ignore[call-arg,arg-type]  # pyright: ignore[reportCallIssue]
    build.new()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    build.using(priority=1).enqueue(month=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.enqueue_many([send.new(3)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def words_of_other_queues() -> None:
    """That an error says what to write instead makes none of them right. (Pyright says it twice: it knows no type.)"""
    send.delay("ada")  # type: ignore[attr-defined]  # pyright: ignore
    app.send_task("send")  # type: ignore[attr-defined]  # pyright: ignore
    send.enqueue("ada").get()  # type: ignore[attr-defined]  # pyright: ignore


def wrong_items() -> None:
    """``map`` gives the first argument lists of items, and the others as they are."""
    import_rows.map(["7"], tenant_id=7)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    import_rows.map([1], tenant_id="7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    import_rows.map([1])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    import_rows.map([1], tenant_id=7, size=9)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send.map(["ada"])  # type: ignore[misc,arg-type]  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType]


async def wrong_arguments_of_the_async_twin() -> None:
    """Checked the same way."""
    await send.aenqueue(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await import_rows.amap(["7"], tenant_id=7)  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await build.using(queue="q").aenqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def a_forgotten_await() -> None:
    """Every verb with an ``a`` in front is ``async def``, so that a checker sees it."""
    send.aenqueue("ada")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    send("ada")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    app.jobs.acancel(1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    app.queues.astats()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


def wrong_plain_calls() -> None:
    """A plain call is checked too."""
    build()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    text: str = build(month="2026-01")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    use(text)


def wrong_options() -> None:
    """Options have types."""
    send.using(delays=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send.using(at=timedelta(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send.using(retry=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Retry(jitter="some")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Retry(on="ValueError")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.on("finished")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.jobs.list(colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    app.task(prio=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def wrong_results() -> None:
    """The result has the function's type."""
    wrong: Job[int] = send.enqueue("ada")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number: int = send.enqueue("ada").get_result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    use(wrong, number)


def wrong_workflows() -> None:
    """A result has its task's type as an argument too."""
    with app.workflow("flow") as flow:
        built = flow.add(build.new(month="2026-01"))
        flow.add(send.new(built.result))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        flow.add(send.new("ada"), on_failure="stop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
