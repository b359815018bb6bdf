"""What a workflow refuses while it is built, and what a placeholder does and refuses."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from turnspit import ConfigurationError, InvalidArguments, Turnspit, Unique, WorkflowBuilder


class Receipt(BaseModel):
    number: str
    lines: list[int] = []


app = Turnspit("sqlite:////nonexistent/turnspit.db")


@app.task
async def charge(order_id: int) -> Receipt:
    return Receipt(number=f"A-{order_id}")


@app.task
async def ship(order_id: int, receipt: Receipt, note: str = "") -> None: ...


@app.task
async def tell(number: str) -> None: ...


@app.task
async def add(first: int, rest: list[int]) -> int:
    return first + sum(rest)


@app.task
async def maybe(number: str | None, anything: Any = None) -> None: ...


@app.task(keep_result=False)
async def forget() -> str:
    return ""


@app.task(unique=Unique())
async def once(number: str) -> None: ...


def begun() -> WorkflowBuilder:
    """One in its with block."""
    return app.workflow("fulfil").__enter__()


def refusal(build: Callable[[WorkflowBuilder], object]) -> str:
    """What is said when a workflow is built so; nothing is stored: the store does not even exist."""
    with pytest.raises((ConfigurationError, InvalidArguments)) as raised, app.workflow("fulfil") as flow:
        build(flow)
    return str(raised.value)


def test_two_jobs_of_one_name_are_refused() -> None:
    def build(flow: WorkflowBuilder) -> None:
        flow.add(charge.new(1), name="charge")
        flow.add(charge.new(2), name="charge")

    assert "two jobs named 'charge'" in refusal(build)


def test_a_name_that_nobody_has_is_refused() -> None:
    said = refusal(lambda flow: flow.add(charge.new(1), name="charge", after=["chrage"]))
    assert "no job named 'chrage'; its names are charge" in said


def test_a_circle_is_refused_and_shown() -> None:
    def build(flow: WorkflowBuilder) -> None:
        flow.add(charge.new(1), name="a", after=["c"])
        flow.add(charge.new(1), name="b", after=["a"])
        flow.add(charge.new(1), name="c", after=["b"])

    said = refusal(build)
    assert "goes round in a circle" in said
    assert said.count(" waits for ") == 3


def test_what_is_no_job_is_refused() -> None:
    assert "task.new(...)" in refusal(lambda flow: flow.add(charge))  # type: ignore[arg-type]
    assert "of its own workflow" in refusal(lambda flow: flow.add(charge.new(1), after=[7]))  # type: ignore[list-item]
    assert "takes a list" in refusal(lambda flow: flow.add(charge.new(1), after="charge"))
    assert "on_failure is cancel, run, wait" in refusal(
        lambda flow: flow.add(charge.new(1), on_failure="stop")  # type: ignore[arg-type]
    )


def test_a_job_of_another_workflow_is_refused() -> None:
    other = begun().add(charge.new(1))
    assert "of its own workflow" in refusal(lambda flow: flow.add(charge.new(1), after=[other]))
    assert "of its own workflow" in refusal(lambda flow: flow.add(ship.new(1, other.result)))


def test_a_unique_job_could_be_another_one() -> None:
    assert "unique by a key" in refusal(lambda flow: flow.add(once.new("1")))
    assert "unique by its arguments" in refusal(lambda flow: flow.add(once.new(flow.add(charge.new(1)).result.number)))


def test_an_id_is_known_when_the_block_has_ended() -> None:
    assert "not stored before the with block has ended" in refusal(lambda flow: flow.add(charge.new(1)).id)
    assert "workflow fulfil has no id yet: the end of its with block stores it" in refusal(lambda flow: flow.id)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda job: tell.new(number=job.result), "it is object, not string"),
        (lambda job: tell.new(number=job.result.numbre), "it has no 'numbre'"),
        (lambda job: tell.new(number=job.result.lines), "it is array, not string"),
        (lambda job: tell.new(number=job.result.lines[0]), "it is integer, not string"),
        (lambda job: tell.new(number=job), "(got <job of charge: give its .result>)"),
        (lambda job: ship.new(1, job.result, note=7), "note: Input should be a valid string"),
        (lambda job: ship.new(job.result.lines[0]), "receipt: Field required"),
    ],
)
def test_an_argument_of_another_type_is_refused(build: Callable[[Any], Any], said: str) -> None:
    assert said in refusal(lambda flow: flow.add(build(flow.add(charge.new(1)))))


def test_a_result_that_is_not_kept_is_refused() -> None:
    assert "keep_result is False" in refusal(lambda flow: flow.add(tell.new(flow.add(forget.new()).result)))


def test_what_may_run_without_a_result_must_take_none() -> None:
    def build(flow: WorkflowBuilder) -> None:
        job = flow.add(charge.new(1))
        flow.add(maybe.new(job.result.number), on_failure="run")
        flow.add(tell.new(job.result.number), on_failure="run")

    assert "number must take None" in refusal(build)


def test_results_in_lists_and_of_unknown_types_are_taken() -> None:
    flow = begun()
    job = flow.add(charge.new(1))
    assert add.new(job.result.lines[0], [1, job.result.lines[1]]).args == "{}"
    flow.add(add.new(job.result.lines[0], [1, job.result.lines[1]]))
    flow.add(maybe.new(None, anything={"numbers": [job.result.number]}))


@pytest.mark.parametrize(
    "use",
    [
        lambda result: f"{result.number}",
        lambda result: result.number + "!",
        lambda result: result.number == "A-1",
        lambda result: bool(result.lines),
        lambda result: list(result.lines),
        lambda result: result(),
        lambda result: len(result.lines),
        lambda result: {result: 1},
        lambda result: result.lines[1:],
        lambda result: result.lines[0] > 1,
    ],
)
def test_anything_else_done_with_a_result_raises(use: Callable[[Any], Any]) -> None:
    result = begun().add(charge.new(1)).result
    with pytest.raises(InvalidArguments, match="the result of charge is not known before it has run"):
        use(result)


def test_a_result_shows_what_it_stands_for() -> None:
    result = begun().add(charge.new(1)).result
    assert repr(result) == "<the result of charge>"
    assert repr(result.lines[0]) == "<the result of charge, .lines[0]>"


def test_results_belong_into_workflows() -> None:
    result = begun().add(charge.new(1)).result
    with pytest.raises(InvalidArguments, match="receipt"):
        ship.enqueue(1, result)
    with pytest.raises(ConfigurationError, match="add it to that workflow"):
        app.enqueue_many([ship.new(1, result)])


def test_a_workflow_that_nothing_would_store_takes_no_job() -> None:
    with pytest.raises(ConfigurationError, match="workflow fulfil is stored by the end of its with block, and this is"):
        app.workflow("fulfil").add(charge.new(1))


def test_a_workflow_that_is_stored_takes_no_more() -> None:
    def build(flow: WorkflowBuilder) -> None:
        with flow:
            raise ZeroDivisionError

    flow = app.workflow("fulfil")
    with pytest.raises(ZeroDivisionError):
        build(flow)
    with pytest.raises(ConfigurationError, match="its with block has ended"):
        flow.add(charge.new(1))


def test_hooks_and_chains_take_jobs() -> None:
    with pytest.raises(ConfigurationError, match="on_failure takes what"):
        app.workflow("fulfil", on_failure=charge)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a chain needs jobs"):
        app.chain()


def test_a_refused_job_leaves_nothing_of_itself_behind() -> None:
    flow = begun()
    with pytest.raises(ConfigurationError, match="a job waits for jobs of its own workflow"):
        flow.add(charge.new(1), name="charge", after=[5])  # type: ignore[list-item]
    assert flow.add(charge.new(1), name="charge").number == 0


@pytest.mark.parametrize("where", ["after", "before"])
def test_names_come_in_lists(where: str) -> None:
    names: Any = {where: "load"}
    said = refusal(lambda flow: flow.add_many([charge.new(1)], **names))
    assert said.startswith(f"{where}= takes a list of ")
    assert said.endswith(", not 'load'")


def test_names_of_many_may_come_from_a_generator() -> None:
    flow = begun()
    flow.add_many([charge.new(1), charge.new(2)], before=(name for name in ["last"]))
    assert [each.before for each in flow._buffer] == [("last",), ("last",)]


def test_a_workflow_has_one_block() -> None:
    """What a second one added would come to a workflow that runs, or has ended."""
    flow = begun()
    with pytest.raises(ConfigurationError, match="workflow fulfil has had its with block: build another one"), flow:
        pass
