"""What a person may type as APP, and what is said when it cannot be meant."""

import queue
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from turnspit.cli import connecting
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.errors import EngineUnavailable

NO_APP = (
    "turnspit: which app or store? Name it, as in shop.jobs:app or sqlite:///shop.db, or set TURNSPIT_APP or "
    "TURNSPIT_URL\n"
)


@pytest.fixture(autouse=True)
def _one_job(cli: Cli) -> None:
    assert cli("enqueue", "shop:app", "make_invoice", "order_id=7").code == 0


@pytest.mark.parametrize(
    "app",
    ["shop:app", "shop", "shop.py", "shop.py:app", "./shop.py", "sqlite:///shop.db", "sqlite+aiosqlite:///shop.db"],
)
def test_an_app_or_a_store_is_found(cli: Cli, app: str) -> None:
    answer = cli("jobs", "list", app)
    assert (answer.code, answer.err) == (0, "")
    assert "make_invoice" in answer.out


def test_an_absolute_path_and_an_absolute_url_are_found(cli: Cli, folder: Path) -> None:
    assert "make_invoice" in cli("jobs", "list", folder / "shop.py").out
    assert "make_invoice" in cli("jobs", "list", f"sqlite:///{folder}/shop.db").out


def test_a_file_in_a_package_is_imported_under_its_full_name(cli: Cli, folder: Path) -> None:
    package = folder / "outlet" / "back"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "names.py").write_text("URL = 'sqlite:///shop.db'\n")
    (package / "jobs.py").write_text(
        "from outlet.back.names import URL\nfrom turnspit import Turnspit\nassert __name__ == 'outlet.back.jobs'\n"
        "class Container:\n    app = Turnspit(URL)\n"
    )
    assert cli("jobs", "list", "outlet/back/jobs.py:Container.app").code == 0
    assert cli("jobs", "list", "outlet.back.jobs:Container.app").code == 0


def test_a_file_named_as_a_module_of_python_is_the_file(cli: Cli, folder: Path) -> None:
    (folder / "shop.py").rename(folder / "queue.py")
    assert "make_invoice" in cli("jobs", "list", "queue.py").out
    assert sys.modules["queue"] is queue


def test_one_app_under_two_names_is_one_app(cli: Cli, folder: Path) -> None:
    (folder / "alias.py").write_text("from shop import app\nturnspit = app\n")
    assert cli("jobs", "list", "alias").code == 0


def test_the_environment_names_the_app_then_the_store(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNSPIT_URL", "sqlite:///shop.db")
    assert cli("jobs", "list").code == 0
    assert cli("run", "1").err == "turnspit: which app? Name it, as in shop.jobs:app, or set TURNSPIT_APP\n"
    monkeypatch.setenv("TURNSPIT_APP", "shop:nowhere")
    assert cli("jobs", "list").err == "turnspit: shop has no 'nowhere': did you mean shop:app?\n"
    monkeypatch.setenv("TURNSPIT_APP", "shop:app")
    assert cli("jobs", "show", "1").code == 0
    assert cli("run", "1").code == 0
    assert cli("enqueue", "make_invoice", "order_id=8").code == 0


def test_without_a_name_the_cure_is_said(cli: Cli) -> None:
    answer = cli("jobs", "list")
    assert (answer.code, answer.out, answer.err) == (2, "", NO_APP)


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("nowhere", "there is no module nowhere: looked in {cwd} and where Python looks"),
        ("nowhere.jobs:app", "there is no module nowhere: looked in {cwd} and where Python looks"),
        ("shop:nope", "shop has no 'nope': did you mean shop:app?"),
        ("shop:Order", "shop:Order is of type ModelMetaclass, not a Turnspit: did you mean shop:app?"),
        ("two", "two has several apps: say two:first or two:second"),
        ("none", "none has no Turnspit: write app = Turnspit(...) there, or name the module that has one"),
        (
            "none:app",
            "none has no 'app', nor any Turnspit: write app = Turnspit(...) there, or name the module that has one",
        ),
        ("two.first", "there is no module two.first: looked in {cwd} and where Python looks; did you mean two:first?"),
        (
            "circle",
            (
                "circle could not be imported: ImportError: circle imports what imports circle again; tasks need no "
                "app where they are declared: put them on a Blueprint, and app.include(...) that "
                "({cwd}/circle_jobs.py, line 1)"
            ),
        ),
        ("missing.py", "there is no file {cwd}/missing.py"),
        ("shop.db", "shop.db is a file, not an app: a store is named by its URL, here sqlite:///shop.db"),
        ("my-shop", "'my-shop' names no Python module: an app is named as in shop.jobs:app"),
        ("shop:", "'shop:' names no Python module: an app is named as in shop.jobs:app"),
        (
            "needs",
            (
                "needs could not be imported: ModuleNotFoundError: No module named 'not_installed' "
                "({cwd}/needs.py, line 2)"
            ),
        ),
        ("raises.py", "raises could not be imported: ZeroDivisionError: division by zero ({cwd}/raises.py, line 1)"),
        (
            "models.py",
            "models needs a Django project that is set up: python manage.py turnspit ... (Apps are not loaded yet.)",
        ),
        ("syntax", "syntax could not be imported: SyntaxError: invalid syntax ({cwd}/syntax.py, line 1)"),
        ("leaves", "leaves could not be imported: SystemExit: 3 ({cwd}/leaves.py, line 1)"),
        (
            "declares",
            (
                "declares could not be imported: ConfigurationError: task f takes *a: give every argument a "
                "name, so that "
                "its payload can be checked ({cwd}/declares.py, line 2)"
            ),
        ),
    ],
)
def test_what_is_no_app_is_one_line_with_the_cure(cli: Cli, folder: Path, app: str, message: str) -> None:
    (folder / "two.py").write_text(
        "from turnspit import Turnspit\nfirst = again = Turnspit('sqlite:///a.db')\nsecond = Turnspit('sqlite:///b.db')\n"
    )
    (folder / "none.py").touch()
    (folder / "circle.py").write_text("from circle_jobs import send\nfrom turnspit import Turnspit\napp = Turnspit()\n")
    (folder / "circle_jobs.py").write_text("from circle import app\n")
    (folder / "needs.py").write_text("import json\nimport not_installed\n")
    (folder / "raises.py").write_text("1 / 0\n")
    (folder / "syntax.py").write_text("def (\n")
    (folder / "models.py").write_text(
        "from django.core.exceptions import AppRegistryNotReady as Early\nraise Early('Apps are not loaded yet.')\n"
    )
    (folder / "leaves.py").write_text("raise SystemExit(3)\n")
    (folder / "declares.py").write_text("from shop import app\n@app.task\ndef f(*a): ...\n")
    answer = cli("jobs", "list", app)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"turnspit: {message.replace('{cwd}', str(folder))}\n"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "mysql://me:secret@host/db",
            (
                "no engine for 'mysql://me:***@host/db': a store's URL begins with sqlite:///, as in sqlite:///shop.db "
                "(a file in the working directory) or sqlite:////srv/shop.db, or with postgresql://"
            ),
        ),
        (
            "sqlite://shop.db",
            (
                "'sqlite://shop.db' has two slashes: three make a path in the working directory "
                "(sqlite:///shop.db), four "
                "an absolute one (sqlite:////srv/shop.db)"
            ),
        ),
        (
            "sqlite:///:memory:",
            (
                "'sqlite:///:memory:' is a database in memory, where no accepted job would survive: name a file, as in "
                "sqlite:///shop.db; for tests see turnspit.testing"
            ),
        ),
        (
            "sqlite:///nothing.db",
            (
                "there are no jobs at {cwd}/nothing.db: the first enqueue or worker makes the store; if "
                "there should be "
                "one, check its URL and the working directory"
            ),
        ),
        ("sqlite:///junk.db", "store {cwd}/junk.db is not an SQLite database: check the URL (file is not a database)"),
        ("sqlite:///.", "store {cwd} is a folder: name a file in it"),
    ],
)
def test_what_is_no_store_is_one_line_with_the_cure(cli: Cli, folder: Path, url: str, message: str) -> None:
    (folder / "junk.db").write_text("this is no database " * 100)
    before = sorted(folder.iterdir())
    answer = cli("jobs", "list", url)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"turnspit: {message.replace('{cwd}', str(folder))}\n"
    assert sorted(folder.iterdir()) == before


def test_a_store_that_is_away_is_no_wrong_usage(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script tries again after 1, and not after 2."""

    def away(self: object) -> None:
        raise EngineUnavailable("store shop.db is away")

    monkeypatch.setattr(SqliteEngine, "schema_status", away)
    answer = cli("jobs", "list", "sqlite:///shop.db")
    assert (answer.code, answer.out, answer.err) == (1, "", "turnspit: store shop.db is away\n")


@pytest.mark.parametrize("words", [("run", "1"), ("worker",), ("enqueue", "make_invoice")])
def test_a_command_that_needs_code_says_that_a_store_is_not_enough(cli: Cli, words: tuple[str, ...]) -> None:
    answer = cli(words[0], "postgresql://ada:hush@db/shop", *words[1:])
    assert answer.code == 2
    assert answer.err == "turnspit: a store's URL has no tasks: this command needs the app, as in shop.jobs:app\n"


@pytest.mark.parametrize("words", [("jobs", "list"), ("migrate",), ("enqueue", "send"), ("worker", "--until-empty")])
def test_who_waits_for_a_store_is_told_soon(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(connecting, "_SOON", 0.02)
    url = "postgresql://postgres@127.0.0.1:1/none"
    code = f"from turnspit import Turnspit\napp = Turnspit({url!r}, deadline=0.3)\n@app.task\ndef send() -> None: ...\n"
    (folder / "away.py").write_text(code)
    monkeypatch.setenv("TURNSPIT_APP", "away:app")
    answer = cli(*words)
    said, error = answer.err.splitlines()
    assert answer.code != 0
    assert said == f"turnspit: store {url} does not answer yet; trying for 0.3 s"
    assert error.startswith(f"turnspit: store {url} cannot be reached: is the server running, and the URL right? (")
