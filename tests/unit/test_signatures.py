"""A function's signature as the schema of its payload."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, ConfigDict, EmailStr, Field, Json, ValidationError, computed_field

from turnspit import InvalidArguments, InvalidPayload, JobContext
from turnspit.signatures import Signature

LIMIT = 1_000_000


def stored(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The payload of a call."""
    signature = Signature(function, function.__name__)
    return signature.dump(signature.bind(args, kwargs), LIMIT)


def received(function: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What the function would be given after a call was stored and loaded."""
    return Signature(function, function.__name__).load(stored(function, *args, **kwargs))


def refusal(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """What is said when the arguments of a call do not fit."""
    with pytest.raises(InvalidArguments) as raised:
        Signature(function, function.__name__).bind(args, kwargs)
    return str(raised.value)


def send(to: EmailStr, order_id: int, copies: int = 1, *, urgent: bool = False) -> str:
    return f"{to} {order_id} {copies} {urgent}"


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sku: str
    price: Decimal
    weight: float | None = None

    @computed_field
    @property
    def label(self) -> str:
        return f"{self.sku} {self.price}"


class Order(BaseModel):
    number: int = Field(alias="orderNumber")
    customer: UUID = Field(validation_alias=AliasChoices("customer", "client"))
    lines: list[Line] = Field(serialization_alias="positions", default_factory=list)


class Colour(Enum):
    RED = "red"


def test_arguments_go_by_position_or_name_and_are_stored_by_name() -> None:
    assert stored(send, "ada@example.com", 7) == '{"to":"ada@example.com","order_id":7}'
    assert stored(send, order_id=7, to="ada@example.com", urgent=True) == (
        '{"to":"ada@example.com","order_id":7,"urgent":true}'
    )


def test_a_default_is_not_stored_so_that_a_later_release_may_change_it() -> None:
    assert received(send, "ada@example.com", 7) == {"to": "ada@example.com", "order_id": 7}


def test_what_looks_like_a_number_becomes_one() -> None:
    assert received(send, "ada@example.com", "7") == {"to": "ada@example.com", "order_id": 7}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {"to": "ada", "order_id": 7}, "send: to: value is not a valid email address"),
        ((), {"to": "ada@example.com"}, "send: order_id: Field required"),
        ((), {"to": "ada@example.com", "order_id": "x"}, "send: order_id: Input should be a valid integer"),
        ((), {"to": "a@example.com", "order_id": 1, "bcc": 2}, "send: bcc: Extra inputs are not permitted (got 2)"),
        (("ada@example.com",), {}, "send: missing a required argument: 'order_id'"),
        (
            ("ada@example.com", 1, 2, True),
            {},
            "send: too many positional arguments; it takes (to, order_id, copies=1, *, urgent=False)",
        ),
        (("ada@example.com", 1), {"to": "b"}, "send: multiple values for argument 'to'"),
    ],
)
def test_what_does_not_fit_is_named_with_its_reason(args: Any, kwargs: Any, message: str) -> None:
    assert refusal(send, *args, **kwargs).startswith(message)


def test_every_field_that_does_not_fit_is_named() -> None:
    said = refusal(send, to="ada@example.com", order_id="x", copies="y")
    assert "order_id: " in said
    assert "copies: " in said


@dataclass
class Point:
    x: int
    then: "Point | None" = None


@dataclass(frozen=True, slots=True)
class Line2D:
    points: tuple[Point, ...]


@dataclass
class Square:
    side: int
    area: int = field(init=False)

    def __post_init__(self) -> None:
        self.area = self.side * self.side


def test_a_dataclass_that_computes_a_field_comes_back() -> None:
    def paint(square: Square) -> None: ...

    assert received(paint, Square(3)) == {"square": Square(3)}


def test_a_dataclass_is_looked_into() -> None:
    def draw(line: Line2D) -> None: ...

    assert received(draw, Line2D((Point(1), Point(2, Point(3))))) == {"line": Line2D((Point(1), Point(2, Point(3))))}
    wrong: Any = "left"
    assert refusal(draw, Line2D((Point(1), Point(wrong)))).startswith(
        "draw: line.points.1.x: Input should be a valid integer"
    )
    assert refusal(draw, Line2D((Point(1, Point(wrong)),))).startswith("draw: line.points.0.then.x: Input should be")


def test_a_long_value_is_shown_in_short() -> None:
    assert len(refusal(send, to="x" * 10_000, order_id=1)) < 200


def test_the_types_of_pydantic_come_back_as_they_went() -> None:
    def task(
        when: datetime,
        day: date,
        span: timedelta,
        amount: Decimal,
        path: Path,
        colour: Colour,
        mode: Literal["fast", "slow"],
        numbers: set[int],
        pair: tuple[int, str],
        maybe: int | None = None,
    ) -> None: ...

    arguments = {
        "when": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "span": timedelta(days=1, microseconds=1),
        "amount": Decimal("1.50"),
        "path": Path("/srv/x"),
        "colour": Colour.RED,
        "mode": "slow",
        "numbers": {3, 1},
        "pair": (1, "a"),
        "maybe": None,
    }
    assert received(task, **arguments) == arguments


@given(st.integers(), st.text(), st.floats(allow_nan=False, allow_infinity=False), st.lists(st.datetimes()))
def test_values_come_back_as_they_went(a: int, b: str, c: float, d: list[datetime]) -> None:
    def task(a: int, b: str, c: float, d: list[datetime]) -> None: ...

    assert received(task, a, b, c, d) == {"a": a, "b": b, "c": c, "d": d}


def test_a_model_with_aliases_and_computed_fields_comes_back_as_it_went() -> None:
    def task(order: Order) -> None: ...

    order = Order.model_validate(
        {"orderNumber": 7, "client": str(UUID(int=7)), "lines": [{"sku": "a", "price": "1.50"}]}
    )
    assert received(task, order) == {"order": order}
    assert received(task, order={"orderNumber": 7, "client": UUID(int=7)}) == {
        "order": Order.model_validate({"orderNumber": 7, "client": UUID(int=7)})
    }


def test_a_parameter_with_an_alias_goes_by_both_names() -> None:
    def task(number: Annotated[int, Field(alias="orderNumber", ge=1)]) -> None: ...

    assert received(task, orderNumber=7) == received(task, number=7) == received(task, 7) == {"number": 7}
    assert refusal(task, number=0) == "task: number: Input should be greater than or equal to 1 (got 0)"


def test_json_text_stays_what_the_caller_gave() -> None:
    def task(document: Json[list[int]]) -> None: ...

    assert received(task, document="[1, 2]") == {"document": [1, 2]}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_is_refused_wherever_it_hides(number: float) -> None:
    def plain(x: float) -> None: ...
    def anything(x: Any) -> None: ...
    def nested(line: Line) -> None: ...

    assert refusal(plain, x=number) == f"plain: x: Input should be a finite number (got {number})"
    for function, value in ((anything, [number]), (nested, Line(sku="a", price=Decimal(1), weight=number))):
        with pytest.raises(InvalidPayload, match=r"cannot be stored: NaN and Infinity are not JSON$"):
            stored(function, value)


def test_positional_only_parameters_are_given_by_position() -> None:
    def task(a: int, b: int = 2, c: int = 3, /, d: int = 4) -> tuple[int, ...]:
        return a, b, c, d

    signature = Signature(task, "task")
    context = JobContext.detached()
    assert signature.call(task, context, received(task, 1, 5)) == (1, 5, 3, 4)
    assert signature.call(task, context, {"a": 1, "c": 7, "d": 8}) == (1, 2, 7, 8)


def test_a_call_by_position_gives_no_positional_only_parameter_by_name() -> None:
    def task(a: int, b: int = 2, /, c: int = 3) -> None: ...

    assert "positional" in refusal(task, 1, b=2)
    assert received(task, 1, c=4) == {"a": 1, "c": 4}
    assert received(task, a=1, b=5) == {"a": 1, "b": 5}, "all by name is a payload, as a schedule gives it"


def test_calling_leaves_the_arguments_alone() -> None:
    def task(a: int, /) -> int:
        return a

    arguments = {"a": 1}
    for _ in range(2):
        assert Signature(task, "task").call(task, JobContext.detached(), arguments) == 1


def test_a_leading_context_is_given_by_the_worker() -> None:
    def task(job: JobContext, a: int) -> tuple[int, int]:
        return job.attempt, a

    signature = Signature(task, "task")
    assert signature.takes_context
    assert stored(task, 5) == stored(task, a=5) == '{"a":5}'
    assert signature.call(task, JobContext.detached(), {"a": 5}) == (1, 5)


def test_a_stored_payload_that_does_not_fit_is_a_validation_error() -> None:
    signature = Signature(send, "send")
    for text in ('{"to":"ada"}', "[]", "{"):
        with pytest.raises(ValidationError):
            signature.load(text)


def test_a_result_comes_back_as_what_was_returned() -> None:
    def task() -> list[Order]: ...

    signature = Signature(task, "task")
    result = [
        Order.model_validate({"orderNumber": 7, "client": UUID(int=7), "lines": [Line(sku="a", price=Decimal(1))]})
    ]
    assert signature.load_result(signature.dump_result(result, LIMIT)) == result


@pytest.mark.parametrize("value", [None, {"a": 1}, 5])
def test_a_result_that_does_not_fit_its_annotation_comes_back_as_json_values(value: object) -> None:
    def task() -> str: ...

    signature = Signature(task, "task")
    assert signature.load_result(signature.dump_result(value, LIMIT)) == value


@pytest.mark.parametrize("value", [object(), float("nan"), "x" * 100, "\udc80"])
def test_a_result_that_cannot_be_stored_is_an_invalid_payload(value: object) -> None:
    def task(): ...  # type: ignore[no-untyped-def]

    with pytest.raises(InvalidPayload, match=r"^the result of task cannot be stored: "):
        Signature(task, "task").dump_result(value, 50)
