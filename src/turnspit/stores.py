"""An app's store: its URL, and the engine behind it."""

import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from turnspit.ambient import AmbientTransactions, joined
from turnspit.contract import Engine
from turnspit.engines import DEFAULT_URL, open_engine

__all__ = ["Replacement", "Store"]


class Replacement(NamedTuple):
    """What an app uses in place of its own store, in tests."""

    engine: Engine
    is_joined: bool
    """Whether callers still join a framework's transactions, because the replacement is in the same database."""


class Store:
    """An app's store, which is opened by the first call that needs it, and again after ``close``.

    :param url: the store's URL; default: ``$TURNSPIT_URL``, else ``DEFAULT_URL``.
    :param options: for the engine.
    """

    def __init__(self, url: str | None, **options: Any) -> None:
        self.url = url
        self._options = options
        self._lock = threading.Lock()
        self._engine = None if url is None else open_engine(url, **options)
        self.replacement: Replacement | None = None
        self._ambient: AmbientTransactions | None = None
        self._watch: Callable[[Engine], Engine] | None = None
        self._watched: tuple[Engine, Engine] | None = None

    @property
    def engine(self) -> Engine:
        """The engine for callers. Inside a framework's transaction (see ``join``), their calls are part of that."""
        ambient = self._joined_transactions
        return self.own_engine if ambient is None else joined(self.own_engine, ambient)

    @property
    def own_engine(self) -> Engine:
        """The engine for workers, which join no transaction."""
        engine = self._current
        if engine is None:
            engine = self._open()
        if self._watch is None:
            return engine
        if self._watched is None or self._watched[0] is not engine:
            self._watched = engine, self._watch(engine)
        return self._watched[1]

    def _open(self) -> Engine:
        """Open the engine. Threads that come at the same time get the same one: a second would never be closed."""
        engine = open_engine(self.url or os.environ.get("TURNSPIT_URL") or DEFAULT_URL, **self._options)
        with self._lock:
            if self._engine is None:
                self._engine = engine
            return self._engine

    @property
    def is_default(self) -> bool:
        """Whether neither the program nor the environment gave a URL."""
        return self.url is None and not os.environ.get("TURNSPIT_URL") and self.replacement is None

    @property
    def is_not_of_environment(self) -> bool:
        """Whether the environment has a URL, and the program gave another one, which counts."""
        return self.url is not None and os.environ.get("TURNSPIT_URL", "") not in ("", self.url)

    def watch(self, watch: Callable[[Engine], Engine] | None) -> None:
        """Wrap the engine: all callers get what ``watch`` makes of it. ``None`` ends that. For telemetry."""
        self._watch, self._watched = watch, None

    def configure(self, url: str) -> None:
        """Use another URL from now on.

        :raises ConfigurationError: if no engine has the URL's scheme, or its options do not fit.
        """
        engine = open_engine(url, **self._options)
        if self._engine is not None:
            self._engine.close()
        self.url, self._engine = url, engine

    def join(self, ambient: AmbientTransactions | None) -> None:
        """Let callers join a framework's transactions; ``None`` ends that."""
        self._ambient = ambient

    def in_transaction(self) -> bool:
        """Whether the caller is inside a transaction that its calls join."""
        ambient = self._joined_transactions
        return ambient is not None and ambient.current() is not None

    def replace(self, replacement: Replacement | None) -> Replacement | None:
        """Use this instead, until called with ``None``; returns the replacement that was in use before.

        A replacement outlives ``configure``, so that an application factory that runs in a test cannot undo it.
        """
        before, self.replacement = self.replacement, replacement
        return before

    def close(self) -> None:
        """Close connections and threads."""
        engine = self._current
        if engine is not None:
            engine.close()

    @property
    def _current(self) -> Engine | None:
        return self._engine if self.replacement is None else self.replacement.engine

    @property
    def _joined_transactions(self) -> AmbientTransactions | None:
        return self._ambient if self.replacement is None or self.replacement.is_joined else None
