"""One browser and one shop for each engine; every page watches what it logs and whom it asks."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.axe import violations
from tests.browser.chromium import chromium, served
from tests.browser.scene import Scene, shop_at_noon
from tests.conftest import ENGINES
from tests.postgres import new_schema
from turnspit import Job
from turnspit.web import CommandLine, make_dashboard

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 15_000
"""Milliseconds that an action, and what is to be seen after it, may take on a busy machine."""


@dataclass
class Shop:
    """A served dashboard, and what is behind it."""

    scene: Scene
    url: str

    def enqueue(self, task: str, *, delay: float | None = None, queue: str | None = None, **arguments: Any) -> Job[Any]:
        """A job, stored in another thread: Playwright's loop runs in this one."""
        bound = self.scene.app.tasks[task].using(delay=delay, queue=queue)
        return self.call(bound.enqueue, **arguments)

    def call(self, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """In another thread, for the same reason."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(function, *args, **options).result()


@dataclass
class Watched:
    """What went wrong in a page without anybody looking."""

    problems: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=_PATIENCE)  # its own five seconds go also where a context has more
    with chromium() as browser:
        yield browser


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On every engine, unless the module names its own."""
    if "shop" in metafunc.fixturenames:
        engines = getattr(metafunc.module, "ENGINES", ENGINES)
        metafunc.parametrize("shop", engines, indirect=True, scope="module")


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with ExitStack() as stack:
        folder, engine = tmp_path_factory.mktemp("shop"), str(request.param)
        is_file = engine == "sqlite"
        url = f"sqlite:///{folder}/shop.db" if is_file else stack.enter_context(_schema(engine))
        scene = stack.enter_context(shop_at_noon(url, minutes=12))
        dashboard = make_dashboard(scene.app, only_loopback=True, command_line=CommandLine(app="shop.jobs:app"))
        yield Shop(scene, stack.enter_context(served(dashboard)))


@pytest.fixture
def context(browser: Browser, shop: Shop) -> Iterator[BrowserContext]:
    """A person with a browser of their own. In the end nothing was logged as an error, nobody else was asked, and
    what the last action left is accessible.
    """
    watched = Watched()
    context = browser.new_context(base_url=shop.url, viewport={"width": 1280, "height": 820})
    context.set_default_timeout(_PATIENCE)
    context.on("request", lambda request: _check_request(watched, shop, request.url))
    context.on("console", lambda message: _check_message(watched, message.type, message.text))
    context.on("weberror", lambda error: watched.problems.append(str(error.error)))
    yield context
    for page in context.pages:
        watched.problems += violations(page)
    context.close()
    assert watched.problems == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def _check_request(watched: Watched, shop: Shop, url: str) -> None:
    if not url.startswith(shop.url):
        watched.problems.append(f"another host was asked: {url}")


def _check_message(watched: Watched, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        watched.problems.append(text)


def _schema(engine: str) -> AbstractContextManager[str]:
    return new_schema(int(engine.removeprefix("postgres")))
