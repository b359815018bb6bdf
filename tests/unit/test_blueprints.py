"""Declaring tasks on apps and blueprints."""

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from turnspit import Blueprint, ConfigurationError, JobContext, Turnspit, TurnspitError
from turnspit.errors import NotIncluded

reports = Blueprint("reports", queue="slow")


@reports.task
def build(month: str) -> str:
    return month


@pytest.fixture
def app() -> Turnspit:
    return Turnspit("sqlite:////nonexistent/turnspit.db")


def test_a_blueprints_name_and_queue_are_its_tasks_defaults() -> None:
    @reports.task(name="yearly", queue="fast", aliases=["old"])
    def build_year(year: int) -> None: ...

    assert (build.name, build.queue) == ("reports.build", "slow")
    assert (build_year.name, build_year.queue, build_year.aliases) == ("yearly", "fast", ("old",))


@pytest.mark.parametrize("verb", ["enqueue", "new"])
def test_a_task_before_its_include_names_the_line_to_add(verb: str) -> None:
    with pytest.raises(NotIncluded) as raised:
        getattr(build, verb)("2026-01")
    assert str(raised.value) == (
        "task reports.build belongs to a blueprint that no app includes yet: "
        f"add the line app.include(reports), with reports from {__name__}"
    )


def test_a_blueprint_without_a_name_of_its_own_is_named_by_its_module() -> None:
    hidden = [Blueprint("hidden")]

    @hidden[0].task
    def task() -> None: ...

    with pytest.raises(NotIncluded, match=rf"add the line app.include\(...\) with the blueprint of {__name__}$"):
        task.enqueue()


def test_include_may_come_before_the_declaration_and_twice(app: Turnspit) -> None:
    blueprint = Blueprint("b")
    app.include(blueprint)
    app.include(blueprint)

    @blueprint.task
    def later() -> None: ...

    assert app.tasks["b.later"] is later
    assert app.tasks.names == {"b.later"}


def test_a_blueprint_belongs_to_one_app(app: Turnspit) -> None:
    blueprint = Blueprint("b")

    @blueprint.task
    def task() -> None: ...

    app.include(blueprint)
    other = Turnspit("sqlite:///other.db")
    with pytest.raises(ConfigurationError, match=r"^task b.task belongs to another app already$"):
        other.include(blueprint)
    assert not other.tasks, "its workers would run jobs whose own jobs go to the first app's store"


def test_two_functions_of_one_name_are_refused(app: Turnspit) -> None:
    def first() -> None: ...
    def second() -> None: ...

    app.task(name="send")(first)
    with pytest.raises(ConfigurationError) as raised:
        app.task(name="send")(second)
    here = f"{__name__}.test_two_functions_of_one_name_are_refused.<locals>"
    assert str(raised.value) == (
        f"two tasks are named 'send': {here}.first and {here}.second; give one of them @task(name=...)"
    )
    assert app.tasks["send"].function is first


def test_an_alias_that_is_another_tasks_name_is_refused(app: Turnspit) -> None:
    def first() -> None: ...
    def second() -> None: ...

    app.task(first)
    with pytest.raises(ConfigurationError, match="two tasks are named 'first'"):
        app.task(aliases=["first"])(second)
    assert app.tasks.names == {"first"}


def test_a_notebook_cell_run_again_replaces_its_task(app: Turnspit) -> None:
    def declare(result: int, *aliases: str) -> object:
        @app.task(aliases=aliases)
        def cell() -> int:
            return result

        return cell

    declare(1, "old")
    newer = declare(2)
    assert app.tasks["cell"] is newer
    assert app.tasks.tasks == [newer]
    assert app.tasks.names == {"cell"}
    assert app.payloads().validate({"task": "cell", "args": {}}) == ("cell", {})


@pytest.mark.parametrize("name", ["", "  ", None, 5])
def test_a_blueprint_needs_a_name(name: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^a blueprint needs a name, not "):
        Blueprint(name)  # type: ignore[arg-type]


def test_only_a_blueprint_can_be_included(app: Turnspit) -> None:
    with pytest.raises(ConfigurationError, match=r"^include\(\) takes a Blueprint, not <SyncTask reports.build>$"):
        app.include(build)  # type: ignore[arg-type]


def test_discover_imports_a_tree_and_includes_its_blueprints(
    app: Turnspit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bakery" / "jobs" / "deep"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "ovens.py").write_text(
        "from turnspit import Blueprint\nwarm = Blueprint('warm')\n@warm.task\ndef bake(loaves: int) -> int:\n"
        "    return loaves\n"
    )
    (package.parent / "__main__.py").write_text("raise SystemExit('a program, not a module')")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert app.discover("bakery.jobs") == ["bakery.jobs", "bakery.jobs.deep", "bakery.jobs.deep.ovens"]
    finally:
        for name in [name for name in sys.modules if name.startswith("bakery")]:
            del sys.modules[name]
    assert list(app.tasks) == ["warm.bake"]


def test_events_are_known_by_name(app: Turnspit) -> None:
    known = "started, completed, failed, snoozed, cancelled, dead, lost, rescued"
    with pytest.raises(ConfigurationError) as raised:
        app.on("finished")  # type: ignore[arg-type]
    assert str(raised.value) == f"no event is named 'finished'; there are {known}"
    with pytest.raises(ConfigurationError) as raised:
        app.on()
    assert str(raised.value) == f"say which events: on('completed'); there are {known}"
    with pytest.raises(ConfigurationError, match=r"^no event is named <function "):
        app.on(test_events_are_known_by_name)  # type: ignore[arg-type]


def test_a_lifespan_is_async(app: Turnspit) -> None:
    def lifespan(_: Turnspit):  # type: ignore[no-untyped-def]
        yield {}

    with pytest.raises(
        ConfigurationError, match=r"^a lifespan is an async generator: write async def lifespan\(app\)$"
    ):
        app.lifespan(lifespan)


async def yields_nothing(_: Turnspit) -> None: ...
async def takes_no_app() -> AsyncIterator[None]:
    yield


async def takes_a_job_only(job: JobContext) -> None: ...


@pytest.mark.parametrize(
    ("hook", "function", "message"),
    [
        ("lifespan", yields_nothing, "a lifespan is an async generator: yields_nothing yields nothing"),
        (
            "lifespan",
            takes_no_app,
            "a lifespan takes the app, as in def takes_no_app(app): too many positional arguments",
        ),
        (
            "middleware",
            takes_a_job_only,
            (
                "middleware takes the job and what it wraps, as in def takes_a_job_only(job, call_next): "
                "too many positional arguments"
            ),
        ),
        (
            "on",
            takes_no_app,
            "an event's handler takes the event, as in def takes_no_app(event): too many positional arguments",
        ),
    ],
)
def test_a_hook_that_could_not_be_called_is_refused_at_once(
    app: Turnspit, hook: str, function: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        (app.on("dead") if hook == "on" else getattr(app, hook))(function)
    assert str(raised.value) == message


def test_a_hook_is_annotated_with_what_only_a_type_checker_imports(app: Turnspit) -> None:
    deferred = "" if sys.version_info >= (3, 14) else "from __future__ import annotations\n"
    names: dict[str, Any] = {}
    exec(f"{deferred}def handler(event: Imported) -> None: ...", names)
    assert app.on("dead")(names["handler"]) is names["handler"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": 3}, "retry takes a Retry, as in Retry(attempts=3), not 3"),
        ({"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
        ({"timeout": None}, "timeout must be seconds or a timedelta, not None"),
        ({"keep_history": -1}, "keep_history must be between 0 seconds and 100 years, not -1"),
        ({"durability": "none"}, 'durability is "full" or "relaxed", not \'none\''),
    ],
)
def test_a_wrong_option_of_an_app_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(TurnspitError) as raised:
        Turnspit("sqlite:////nonexistent/turnspit.db", **options)  # type: ignore[arg-type]
    assert str(raised.value) == message


def takes_nothing() -> None: ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"on_dead": lambda: None},
            "on_dead of task send takes the job and its error, as in def <lambda>(job, error): too",
        ),
        (
            {"upgrade": takes_nothing},
            "upgrade of task send takes the old arguments, as in def takes_nothing(old): ",
        ),
        ({"upgrade": 3}, "upgrade of task send takes the old arguments, as in def 3(old): 3 is not a callable object"),
    ],
)
def test_a_callback_of_a_task_that_could_not_be_called_is_refused(
    app: Turnspit, options: dict[str, Any], message: str
) -> None:
    def send() -> None: ...

    with pytest.raises(ConfigurationError, match=re.escape(message)):
        app.task(**options)(send)
