"""Functions and options that cannot be a task's are refused where they are declared."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from turnspit import Blueprint, ConfigurationError, InvalidPayload, JobContext, Retry, TurnspitError, current_job


class Unknown:
    """A type that pydantic does not know."""


class Account(BaseModel):
    password: SecretStr


def refusal(function: Any, **options: Any) -> str:
    """What is said when the function is declared."""
    with pytest.raises(TurnspitError) as raised:
        Blueprint("b").task(**options)(function)
    return str(raised.value)


def declare(function: Callable[..., Any], **options: Any) -> Any:
    """The task of a function."""
    return Blueprint("b").task(**options)(function)


def varargs(*numbers: int) -> None: ...
def varkwargs(**options: int) -> None: ...
def unresolvable(order: "Ordr") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def no_annotation_at_all(order: "1 +") -> None: ...  # type: ignore[syntax]  # noqa: F722
def unstorable(number: int, thing: Unknown) -> None: ...
def unstorable_result() -> Unknown: ...
def context_not_first(number: int, job: JobContext) -> None: ...
def field_as_default(number: int = Field(default=3)) -> None: ...
def secret(password: SecretStr) -> None: ...
def nested_secret(accounts: list[Account]) -> None: ...
def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


def bound(self, order_id: int) -> None: ...  # type: ignore[no-untyped-def]


class Shop:
    def method(self, order_id: int) -> None: ...
    @staticmethod
    def static(order_id: int) -> None: ...


def fine(number: int = 1) -> int:
    return number


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (varargs, "task b.varargs takes *numbers: give every argument a name, so that its payload can be checked"),
        (varkwargs, "task b.varkwargs takes **options: give every argument a name, so that its payload can be checked"),
        (unresolvable, "task b.unresolvable: an annotation cannot be resolved: name 'Ordr' is not defined"),
        (context_not_first, "task b.context_not_first: JobContext must be the first parameter"),
        (
            field_as_default,
            (
                "task b.field_as_default: number has Field(...) as its default, which the function itself would "
                "receive: write Annotated[<type>, Field(...)], and a plain default behind it"
            ),
        ),
        (
            generator,
            "@task belongs on a function that returns: generator has a yield, and nobody would run it to its end",
        ),
        (
            async_generator,
            "@task belongs on a function that returns: async_generator has a yield, and nobody would run it to its end",
        ),
        (
            Shop.method,
            (
                "@task belongs on a function, not on a method: Shop.method takes self, and a worker has none; "
                "for the running job write job: JobContext there, and make other objects in the function"
            ),
        ),
        (
            bound,
            (
                "@task belongs on a function, not on a method: bound takes self, and a worker has none; "
                "for the running job write job: JobContext there, and make other objects in the function"
            ),
        ),
        (lambda: 1, "a lambda has no name to find it again by: give @task a named function"),
        (Unknown, f"@task belongs on a function, not on {Unknown!r}"),
        (5, "@task belongs on a function, not on 5"),
    ],
)
def test_a_function_that_cannot_be_a_task(function: Any, message: str) -> None:
    assert refusal(function) == message


@pytest.mark.parametrize(
    ("function", "beginning"),
    [
        (no_annotation_at_all, "task b.no_annotation_at_all: an annotation cannot be resolved: "),
        (unstorable, f"task b.unstorable: thing: {Unknown!r} cannot be stored as JSON ("),
        (unstorable_result, f"task b.unstorable_result: its result: {Unknown!r} cannot be stored as JSON ("),
        (secret, f"task b.secret: password: {SecretStr!r} holds a secret type, which would be stored as stars: "),
        (nested_secret, f"task b.nested_secret: accounts: {list[Account]!r} holds a secret type, "),
        (functools.partial(fine, 1), "@task belongs on a function, not on functools.partial("),
        (Blueprint("x").task(fine), "@task belongs on a function, not on <SyncTask x.fine>"),
    ],
)
def test_a_function_that_cannot_be_a_task_says_why(function: Any, beginning: str) -> None:
    assert refusal(function).startswith(beginning)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": 3}, "retry takes a Retry, as in Retry(attempts=3), not 3"),
        ({"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
        ({"timeout": "30s"}, "timeout must be seconds or a timedelta, not '30s'"),
        ({"priority": 40_000}, "priority is a whole number from -32768 to 32767, not 40000"),
        ({"priority": "high"}, "priority is a whole number from -32768 to 32767, not 'high'"),
        ({"aliases": "old"}, "aliases is a list of names, not 'old'"),
        ({"keep_result": -1}, "keep_result must be between 0 seconds and 100 years, not -1"),
        ({"name": "a\0b"}, "a task's name must be text of 1 to 255 characters without NUL, not 'a\\x00b'"),
        (
            {"queue": "q" * 300},
            "a queue's name must be text of 1 to 255 characters without NUL, not " + repr("q" * 300),
        ),
        (
            {"schedule": "* * * * *"},
            "schedule takes Cron(...), Every(...) or a list of them, not '* * * * *'",
        ),
        (
            {"retries": 3},
            (
                "@task has no option retries; it has name, aliases, queue, priority, retry, timeout, isolate, "
                "keep_result, unique, schedule, rate, concurrency, fair_key, upgrade, on_dead"
            ),
        ),
        ({"aliases": [""]}, "a task's alias must be text of 1 to 255 characters without NUL, not ''"),
    ],
)
def test_an_option_that_cannot_be_a_tasks(options: dict[str, Any], message: str) -> None:
    assert refusal(fine, **options) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": 1, "at": None}, None),
        ({"delay": -1}, "delay must be between 0 seconds and 100 years, not -1"),
        ({"at": "tomorrow"}, "at must be a datetime with a time zone, not 'tomorrow'"),
        ({"priority": 1.5}, "priority is a whole number from -32768 to 32767, not 1.5"),
        ({"priority": True}, "priority is a whole number from -32768 to 32767, not True"),
        ({"retry": 3}, "retry takes a Retry, as in Retry(attempts=3), not 3"),
        ({"retry": Retry(on=OSError)}, "using(retry=) is stored with the job: "),
        ({"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
        ({"tags": "news"}, "tags is a list of texts, not 'news'"),
        ({"queue": ""}, "a queue's name must be text of 1 to 255 characters without NUL, not ''"),
        ({"tags": ["a", 5]}, "a tag must be text of 1 to 255 characters without NUL, not 5"),
        ({"metadata": ["x"]}, "metadata is a dict of JSON values, not ['x']"),
        ({"metadata": {"x": float("nan")}}, "metadata cannot be stored: NaN and Infinity are not JSON"),
    ],
)
def test_an_option_of_a_single_job(options: dict[str, Any], message: str | None) -> None:
    task = declare(fine)
    if message is None:
        task.using(**options)
        return
    with pytest.raises((ConfigurationError, InvalidPayload)) as raised:
        task.using(**options)
    assert str(raised.value).startswith(message)


def test_a_static_method_is_a_function() -> None:
    assert declare(Shop.static)(7) is None


def test_a_task_looks_like_its_function() -> None:
    @Blueprint("b").task
    def documented(number: int) -> int:
        """What it does."""
        return number

    assert (documented.__name__, documented.__doc__) == ("documented", "What it does.")
    assert documented.__wrapped__ is documented.function  # type: ignore[attr-defined]
    assert repr(documented) == "<SyncTask b.documented>"
    assert documented.origin == (__name__, "test_a_task_looks_like_its_function.<locals>.documented")


def test_a_plain_call_is_a_plain_call() -> None:
    assert declare(fine)("not checked") == "not checked"


async def _greet(job: JobContext, name: str) -> str:
    return f"{name} {job.attempt} {job.task}"


def test_a_plain_call_makes_its_own_context_or_takes_one() -> None:
    greet = declare(_greet, name="greet")
    assert asyncio.run(greet("Ada")) == "Ada 1 greet"
    assert asyncio.run(greet(JobContext.detached("other"), name="Ada")) == "Ada 1 other"
    with pytest.raises(TurnspitError, match=r"^current_job\(\) was called outside a job$"):
        current_job()


def test_a_function_may_have_a_parameter_named_self() -> None:
    def method(self: int) -> int:
        return self

    assert declare(method)(self=3) == 3
    assert declare(method).signature.bind((), {"self": 3}) == {"self": 3}


def test_an_annotation_from_another_module_is_resolved_there() -> None:
    module = ModuleType("shop_models")
    exec("class Item: pass\ndef task(number: 'int') -> 'None': ...", module.__dict__)
    assert declare(module.task).signature.bind((), {"number": "3"}) == {"number": 3}
