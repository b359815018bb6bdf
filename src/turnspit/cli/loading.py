"""From what a person typed as APP to a ``Turnspit``.

APP is ``package.module:app`` (``:app`` may be left out if the module has only one), ``folder/file.py:app``, or, for
commands that need only the store, its URL: ``sqlite:///shop.db``. By default ``$TURNSPIT_APP``, then
``$TURNSPIT_URL``.
"""

import importlib
import importlib.util
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from types import ModuleType

from turnspit.app import Turnspit
from turnspit.cli.connecting import telling_of_waits
from turnspit.cli.errors import WrongUsage

__all__ = ["Target", "app_name", "close_all", "find_app", "find_store", "is_job_id", "require_store", "wait_for_store"]

_LOOK = 0.1
_NO_APP = "write app = Turnspit(...) there, or name the module that has one"

_opened: list[Turnspit] = []


@dataclass(frozen=True, slots=True)
class Target:
    """What a command works on."""

    app: Turnspit
    typed: str | None
    """As the command line named it; ``None`` if the environment did."""
    name: str
    has_code: bool
    """Whether its tasks are known: ``False`` for a store's URL."""

    @property
    def hint(self) -> str:
        """What a suggested command needs to find the same target: nothing, or the name and a space."""
        return f"{quote(self.typed)} " if self.typed else ""

    @property
    def time_outs(self) -> dict[str, int]:
        """How long an attempt of each known task may take, in microseconds."""
        app = self.app
        return {name: task.timeout or app.timeout for name, task in app.tasks.items()}


def is_job_id(text: str) -> bool:
    """Whether a word of the command line is a job's id, and not an app."""
    return text.isdecimal() and text.isascii()


def find_app(typed: str | None) -> Target:
    """The app that was named, for a command that runs its code.

    :raises WrongUsage: if there is none.
    """
    name = app_name(typed)
    return Target(_remember(_load(name)), typed, name, has_code=True)


def app_name(typed: str | None) -> str:
    """The name of the app that was named; nothing is imported.

    :raises WrongUsage: if there is none.
    """
    name = typed or os.environ.get("TURNSPIT_APP")
    if not name:
        raise WrongUsage("which app? Name it, as in shop.jobs:app, or set TURNSPIT_APP")
    if "://" in name:
        # Not shown again: it may have a password, and this line may go to a log.
        raise WrongUsage("a store's URL has no tasks: this command needs the app, as in shop.jobs:app")
    return name


def find_store(typed: str | None, *, must_exist: bool = True) -> Target:
    """The app or the store that was named, for a command that needs no tasks.

    :param must_exist: a store that has no jobs yet is refused, so that a reader never makes one.
    :raises WrongUsage: if none was named, or there is no store yet.
    :raises SchemaMismatch: if a newer release made the store, or tables of it are gone.
    """
    name = typed or os.environ.get("TURNSPIT_APP") or os.environ.get("TURNSPIT_URL")
    if not name:
        raise WrongUsage(
            "which app or store? Name it, as in shop.jobs:app or sqlite:///shop.db, or set TURNSPIT_APP or TURNSPIT_URL"
        )
    is_url = "://" in name
    app = _remember(Turnspit(name) if is_url else _load(name))
    if must_exist:
        require_store(app)
    return Target(app, typed, name, has_code=not is_url)


def require_store(app: Turnspit) -> None:
    """See that the app's store is there, and change nothing.

    :raises WrongUsage: if it is not there.
    :raises SchemaMismatch: if a newer release made it, or tables of it are gone.
    :raises EngineError: if it cannot be reached.
    """
    with telling_of_waits(app):
        status = app.engine.schema_status()
    if not status.current:
        raise WrongUsage(
            f"there are no jobs at {app.engine.location}: the first enqueue or worker makes the store; "
            "if there should be one, check its URL and the working directory"
        )
    status.refuse_too_new(app.engine.location)
    status.refuse_incomplete(app.engine.location)


def wait_for_store(app: Turnspit) -> None:
    """Return as soon as somebody has made the app's store.

    :raises SchemaMismatch: if a newer release made it.
    """
    while not app.engine.schema_status().current:
        threading.Event().wait(_LOOK)
    require_store(app)


def close_all() -> None:
    """Close the stores that the command used."""
    while _opened:
        _opened.pop().close()


def _remember(app: Turnspit) -> Turnspit:
    _opened.append(app)
    return app


def _load(name: str) -> Turnspit:
    place, attribute = _split(name)
    if Path(place).is_file() and not place.endswith(".py"):
        raise WrongUsage(f"{place} is a file, not an app: a store is named by its URL, here sqlite:///{place}")
    _put_on_path(Path.cwd())
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    return _named_app(module, place, attribute) if attribute else _only_app(module, place)


def _split(name: str) -> tuple[str, str]:
    place, separator, attribute = name.rpartition(":")
    if separator and all(part.isidentifier() for part in attribute.split(".")):
        return place, attribute
    return name, ""


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise WrongUsage(f"{name!r} names no Python module: an app is named as in shop.jobs:app")
    return _run_user_code(lambda: importlib.import_module(name), name)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise WrongUsage(f"there is no file {path.absolute()}")
    path = path.resolve()
    folder, names = path.parent, [path.stem]
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    _put_on_path(folder)
    name = ".".join(names)
    known = sys.modules.get(name)
    if len(names) > 1 or (known is not None and known.__file__ == str(path)):
        return _run_user_code(lambda: importlib.import_module(name), name)
    return _run_user_code(lambda: _load_file(name if known is None else f"{name}_file", path), name)


def _load_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run_user_code(load: Callable[[], ModuleType], name: str) -> ModuleType:
    try:
        return load()
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            hint = f"; did you mean {name}.py?" if Path(f"{name}.py").exists() else _dotted_app(name)
            raise WrongUsage(
                f"there is no module {missing}: looked in {Path.cwd()} and where Python looks{hint}"
            ) from None
        raise WrongUsage(_describe_import(name, error)) from error


def _dotted_app(name: str) -> str:
    """The hint for a dot that was typed in place of the colon."""
    place, _, attribute = name.rpartition(".")
    is_app = isinstance(getattr(sys.modules.get(place), attribute, None), Turnspit)
    return f"; did you mean {place}:{attribute}?" if is_app else ""


def _describe_import(name: str, error: BaseException) -> str:
    """The error with the line of the user's code where it happened."""
    if isinstance(error, SyntaxError):
        what, place, modules = error.msg, f"{error.filename}, line {error.lineno}", set[str]()
    else:
        ours = str(Path(__file__).parents[1])
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((ours, "<frozen"))]
        users = [frame for frame in frames if Path(frame.filename).parent.name != "importlib"]
        what, place = str(error), f"{users[-1].filename}, line {users[-1].lineno}" if users else ""
        modules = {frame.filename for frame in frames if frame.name == "<module>"}
    if isinstance(error, ImportError) and error.path in modules:  # a cycle: Python's own message differs by release
        what = (
            f"{error.name} imports what imports {error.name} again; tasks need no app where they are declared: put "
            "them on a Blueprint, and app.include(...) that"
        )
    if type(error).__module__.startswith("django."):  # Django's own message does not mention manage.py turnspit
        return f"{name} needs a Django project that is set up: python manage.py turnspit ... ({what})"
    return f"{name} could not be imported: {type(error).__name__}: {what}{place and f' ({place})'}"


def _named_app(module: ModuleType, place: str, attribute: str) -> Turnspit:
    value: object = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if isinstance(value, Turnspit):
        return value
    found = " or ".join(f"{place}:{name}" for name in _apps(module).values())
    cure = f"did you mean {found}?" if found else _NO_APP
    if value is None:
        raise WrongUsage(f"{place} has no {attribute!r}{'' if found else ', nor any Turnspit'}: {cure}")
    raise WrongUsage(f"{place}:{attribute} is of type {type(value).__name__}, not a Turnspit: {cure}")


def _only_app(module: ModuleType, place: str) -> Turnspit:
    apps = _apps(module)
    if len(apps) == 1:
        return next(iter(apps))
    if not apps:
        raise WrongUsage(f"{place} has no Turnspit: {_NO_APP}")
    raise WrongUsage(f"{place} has several apps: say {' or '.join(f'{place}:{name}' for name in apps.values())}")


def _apps(module: ModuleType) -> dict[Turnspit, str]:
    """Each app of a module with the first name that it has there."""
    apps: dict[Turnspit, str] = {}
    for name, value in vars(module).items():
        if isinstance(value, Turnspit):
            apps.setdefault(value, name)
    return apps
