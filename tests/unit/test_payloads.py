"""Messages of foreign producers, checked against every task of an app."""

import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, EmailStr, Field, Json, TypeAdapter, ValidationError

from turnspit import ConfigurationError, InvalidArguments, Turnspit
from turnspit.payloads import Payloads

app = Turnspit("sqlite:////nonexistent/turnspit.db")


class Order(BaseModel):
    number: int = Field(alias="orderNumber")


@app.task(aliases=["confirm"])
async def send_confirmation(to: EmailStr, order_id: int = 1) -> str:
    """Tell the customer."""
    return f"{to} {order_id}"


@app.task
def ship(order: Order, labels: Json[list[str]]) -> None: ...


@app.task(name="reports.daily")
def daily(day: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]) -> None: ...


def refusal(message: Any) -> str:
    """What is said when the message is refused."""
    with pytest.raises(InvalidArguments) as raised:
        app.payloads().validate(message)
    return str(raised.value)


@pytest.mark.parametrize(
    "message",
    [
        {"task": "send_confirmation", "args": {"to": "ada@example.com", "order_id": "7"}},
        {"task": "confirm", "args": {"to": "ada@example.com", "order_id": 7}},
        '{"task": "send_confirmation", "args": {"to": "ada@example.com", "order_id": 7}}',
        b'{"args": {"to": "ada@example.com", "order_id": 7}, "task": "send_confirmation"}',
    ],
)
def test_a_message_is_a_dict_or_json_text(message: Any) -> None:
    task, arguments = app.payloads().validate(message)
    assert app.tasks[task] is send_confirmation
    assert arguments == {"to": "ada@example.com", "order_id": 7}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            {"task": "ship_it", "args": {}},
            "message: no task is named 'ship_it'; there are confirm, reports.daily, send_confirmation, ship",
        ),
        ({"args": {}}, "message: task: Field required"),
        ({"task": "ship"}, "message: ship.args: Field required"),
        (
            {"task": "reports.daily", "args": {"day": "today"}},
            r"message: reports.daily.args.day: String should match pattern '^\d{4}-\d\d-\d\d$' (got 'today')",
        ),
        (
            {"task": "reports.daily", "args": {"day": "2026-01-01"}, "extra": 1},
            "message: reports.daily.extra: Extra inputs are not permitted (got 1)",
        ),
        ("{", "message: payload: Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ([1], "message: it is a dict or JSON text, not list"),
        (None, "message: it is a dict or JSON text, not NoneType"),
    ],
)
def test_a_message_that_does_not_fit_is_refused_with_its_place(message: Any, said: str) -> None:
    assert refusal(message) == said


def test_a_message_may_use_the_names_of_the_json_schema() -> None:
    _, arguments = app.payloads().validate(
        {"task": "ship", "args": {"order": {"orderNumber": 7}, "labels": '["fragile"]'}}
    )
    assert arguments == {"order": Order(orderNumber=7), "labels": ["fragile"]}


def test_the_json_schema_says_what_each_task_takes() -> None:
    schema = json.loads(json.dumps(app.payloads().json_schema()))
    assert schema["discriminator"]["propertyName"] == "task"
    assert sorted(schema["discriminator"]["mapping"]) == ["confirm", "reports.daily", "send_confirmation", "ship"]
    definitions = schema["$defs"]
    [confirmation] = [each for each in definitions.values() if each.get("title") == "send_confirmation"]
    assert confirmation["description"] == "Tell the customer."
    arguments = definitions[confirmation["properties"]["args"]["$ref"].rpartition("/")[2]]
    assert arguments["properties"]["to"]["format"] == "email"
    assert (arguments["required"], arguments["additionalProperties"]) == (["to"], False)


def test_the_type_is_a_pydantic_type() -> None:
    adapter = TypeAdapter[Any](list[app.payloads().type])  # type: ignore[misc]
    [first] = adapter.validate_python([{"task": "reports.daily", "args": {"day": "2026-01-01"}}])
    assert first.args == {"day": "2026-01-01"}
    with pytest.raises(ValidationError):
        adapter.validate_python([{"task": "reports.daily", "args": {}}])


def test_one_task_is_a_union_of_one() -> None:
    payloads = Payloads([daily])
    assert payloads.validate({"task": "reports.daily", "args": {"day": "2026-01-01"}})[0] == "reports.daily"
    with pytest.raises(InvalidArguments, match=r"^message: no task is named 'ship'; there are reports.daily$"):
        payloads.validate({"task": "ship", "args": {}})


def test_without_tasks_there_are_no_payloads() -> None:
    with pytest.raises(ConfigurationError, match="the app has no tasks yet, so there are no payloads"):
        Turnspit("sqlite:///none.db").payloads()


def test_a_task_declared_later_is_among_the_payloads() -> None:
    other = Turnspit("sqlite:///none.db")
    other.task(name="first")(lambda_like)
    before = other.payloads()
    assert other.payloads() is before
    other.task(name="second")(lambda_like)
    assert other.payloads().validate({"task": "second", "args": {}}) == ("second", {})


def lambda_like() -> None: ...
