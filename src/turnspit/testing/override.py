"""Giving an app a private store for a while."""

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from turnspit.app import Turnspit
from turnspit.engines import open_engine
from turnspit.errors import ConfigurationError, TurnspitError
from turnspit.stores import Replacement
from turnspit.testing.clock import TestClock
from turnspit.testing.store import TestStore

__all__ = ["Override", "override"]


class Override:
    """The context manager that ``override`` returns, for ``with`` and ``async with``."""

    def __init__(
        self, app: Turnspit, now: datetime | None, resources: Mapping[str, Any] | None, url: str | None
    ) -> None:
        self._app = app
        self._now = now
        self._resources = resources
        self._url = url
        self._stack: ExitStack | None = None

    def __enter__(self) -> TestStore:
        if self._stack is not None:
            raise TurnspitError("this override is in force already: call turnspit.testing.override(app) once more")
        with ExitStack() as stack:
            clock = TestClock(self._now)
            url = self._url or _url_in(stack.enter_context(_temporary_folder()))
            # What a test stores needs to survive no power cut.
            engine = open_engine(url, durability="relaxed", clock=clock)
            stack.callback(engine.close)
            replacement = Replacement(engine, is_joined=self._url is not None)
            stack.callback(self._app.store.replace, self._app.store.replace(replacement))
            stack.callback(self._app.replace_lifespans, self._app.replace_lifespans(None))
            store = TestStore(self._app, engine, clock, self._resources)
            self._stack = stack.pop_all()
        return store

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    async def __aenter__(self) -> TestStore:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def override(
    app: Turnspit,
    *,
    now: datetime | None = None,
    resources: Mapping[str, Any] | None = None,
    url: str | None = None,
) -> Override:
    """Point ``app``, and with it every task it has, at a private store until the block ends.

    The store is a SQLite file in a temporary folder, removed afterwards; then the app has its own store again,
    also after an error. Each block has a store of its own, so tests that run in parallel processes share nothing.
    Overrides of one app may be nested; the innermost is in force. A process must not override an app in two threads
    at once.

    :param now: where the clock starts, an aware datetime; by default at the real time.
    :param resources: what tasks find in ``job.resources`` instead of what the app's lifespan provides.
    :param url: use this store, and leave it in place afterwards. For tests with a database of their own, in whose
        transactions the app enqueues, with ``tx=`` or because a framework's adapter joins them.

    ::

        with turnspit.testing.override(app, resources={"mail": FakeMail()}) as t:
            send_confirmation.enqueue(to="ada@example.com", order_id=7)
            [job] = t.drain()
            assert job.state == "completed"
    """
    if not isinstance(app, Turnspit):
        raise ConfigurationError(f"override() takes a Turnspit app, not {app!r}")
    return Override(app, now, resources, url)


def _temporary_folder() -> AbstractContextManager[str]:
    return tempfile.TemporaryDirectory(prefix="turnspit-", ignore_cleanup_errors=True)


def _url_in(folder: str) -> str:
    return f"sqlite:///{quote(str(Path(folder) / 'test.db'))}"
