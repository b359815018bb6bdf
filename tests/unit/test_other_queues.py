"""Who writes a word of another queue by habit reads what to write here."""

import re
from typing import Any

import pytest

import turnspit
from turnspit import Blueprint, ConfigurationError, InvalidArguments, Job, JobContext, Turnspit
from turnspit.blueprints import TaskDeclarer
from turnspit.other_queues import _ATTRIBUTES, _OF_USING, _OPTIONS, TellsWhatToWrite
from turnspit.tasks import Task

app = Turnspit("sqlite:///other-queues.db")
KINDS: dict[str, Any] = {"Task": Task, "Job": Job, "JobContext": JobContext, "Turnspit": Turnspit}
WORDS = [(kind, word) for kind, words in _ATTRIBUTES.items() for word in words]


@app.task
async def send(order_id: int) -> None:
    """Nothing."""


def annotated(self: JobContext, order_id: int) -> int:
    return order_id


@pytest.mark.parametrize(
    ("thing", "word", "instead"),
    [
        (send, "delay", "write enqueue(...), or await aenqueue(...) in async code"),
        (send, "apply_async", "write using(delay=60, queue=...).enqueue(...), or await using(...).aenqueue(...)"),
        (JobContext.detached("send"), "retry", "write raise RetryAfter(60), or raise Snooze(60)"),
        (app, "send_task", "write @app.task(name=...) on a function without code"),
    ],
)
def test_an_attribute_of_another_queue_says_what_to_write(thing: Any, word: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(instead)) as raised:
        getattr(thing, word)
    assert str(raised.value).startswith(f"'{type(thing).__name__}' object has no attribute '{word}': write ")
    assert not hasattr(thing, word)


@pytest.mark.parametrize("kind", KINDS.values())
def test_attributes_that_are_there_are_read_as_fast_as_ever(kind: type) -> None:
    assert not hasattr(kind, "__getattr__")


@pytest.mark.parametrize(("kind", "word"), WORDS)
def test_each_word_is_missing_in_its_class(kind: str, word: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f": write {_ATTRIBUTES[kind][word]}")):
        getattr(KINDS[kind], word)


def test_no_word_may_be_one_that_is_here_too() -> None:
    with pytest.raises(TypeError, match="Task has send: it is no word of other queues alone"):
        type("Task", (TellsWhatToWrite,), {"send": send})


@pytest.mark.parametrize("word", _OPTIONS)
def test_an_option_of_another_queue_says_what_to_write(word: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"; for {word} write {_OPTIONS[word]}")):
        TaskDeclarer.task(Blueprint("b"), **{word: 1})


@pytest.mark.parametrize(("args", "options"), [((7,), {"delay": 5}), ((), {"order_id": 7, "countdown": 5})])
def test_an_option_among_the_arguments_belongs_into_using(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    belongs = r"; a job's options belong into using\(\), as in send\.using\(delay=60\)\.enqueue\(\.\.\.\)$"
    with pytest.raises(InvalidArguments, match=belongs):
        send.new(*args, **options)


def test_every_option_of_using_is_known_to_be_one() -> None:
    assert set(Task.using.__kwdefaults__) | {"countdown", "eta"} == _OF_USING


def test_another_argument_too_many_is_no_option() -> None:
    with pytest.raises(InvalidArguments, match=r"Extra inputs are not permitted \(got 5\)$"):
        send.new(order_id=7, copies=5)  # type: ignore[call-arg]


def test_a_first_parameter_may_be_named_self_if_it_is_annotated() -> None:
    assert Blueprint("b").task(annotated).signature.takes_context


def test_what_is_said_names_what_there_is() -> None:
    said = " ".join([*_OPTIONS.values(), *(text for words in _ATTRIBUTES.values() for text in words.values())])
    for name in re.findall(r"\b([A-Z]\w+)[(. ]", said):
        assert name in turnspit.__all__ or name in ("Django", "False", "ConnectionError"), name
    for name in re.findall(r"app\.(\w+)", said):
        assert hasattr(app, name), name
