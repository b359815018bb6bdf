"""An app's store: the URL that names it, and the engine behind it."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from turnspit.ambient import AmbientTransactions, joined
from turnspit.contract import Engine
from turnspit.engines import DEFAULT_URL, open_engine

__all__ = ["Replacement", "Store"]


class Replacement(NamedTuple):
    """What an app uses for a while instead of its own store."""

    engine: Engine
    is_joined: bool
    """Whether its callers join a framework's transactions: where it is in the database of these."""


class Store:
    """Opened by the first call that needs it, and again after ``close``.

    :param url: the store's URL; default: ``$TURNSPIT_URL``, else ``DEFAULT_URL``.
    :param options: of the engine.
    """

    def __init__(self, url: str | None, **options: Any) -> None:
        self.url = url
        self._options = options
        self._engine = None if url is None else open_engine(url, **options)
        self.replacement: Replacement | None = None
        self._ambient: AmbientTransactions | None = None
        self._watch: Callable[[Engine], Engine] | None = None
        self._watched: tuple[Engine, Engine] | None = None

    @property
    def engine(self) -> Engine:
        """The engine for callers: inside a transaction that ``join`` names, their calls are part of it."""
        ambient = self._joined_transactions
        return self.own_engine if ambient is None else joined(self.own_engine, ambient)

    @property
    def own_engine(self) -> Engine:
        """The engine for workers, which join nobody's transaction."""
        engine = self._current
        if engine is None:
            url = self.url or os.environ.get("TURNSPIT_URL") or DEFAULT_URL
            engine = self._engine = open_engine(url, **self._options)
        if self._watch is None:
            return engine
        if self._watched is None or self._watched[0] is not engine:
            self._watched = engine, self._watch(engine)
        return self._watched[1]

    def watch(self, watch: Callable[[Engine], Engine] | None) -> None:
        """Put something between everybody and the engine, which ``watch`` is given; ``None`` ends it. For telemetry."""
        self._watch, self._watched = watch, None

    def configure(self, url: str) -> None:
        """Have another URL from now on.

        :raises ConfigurationError: for a URL that no engine has.
        """
        engine = open_engine(url, **self._options)
        if self._engine is not None:
            self._engine.close()
        self.url, self._engine = url, engine

    def join(self, ambient: AmbientTransactions | None) -> None:
        """Let callers join a framework's transactions; ``None`` ends it."""
        self._ambient = ambient

    def in_transaction(self) -> bool:
        """Whether the caller is in a transaction that its calls join."""
        ambient = self._joined_transactions
        return ambient is not None and ambient.current() is not None

    def replace(self, replacement: Replacement | None) -> Replacement | None:
        """Use this instead, until called with ``None``; what it replaces.

        A replacement outlives ``configure``: an application factory that runs in a test cannot undo it.
        """
        before, self.replacement = self.replacement, replacement
        return before

    def close(self) -> None:
        """Let go of connections and threads."""
        engine = self._current
        if engine is not None:
            engine.close()

    @property
    def _current(self) -> Engine | None:
        return self._engine if self.replacement is None else self.replacement.engine

    @property
    def _joined_transactions(self) -> AmbientTransactions | None:
        return self._ambient if self.replacement is None or self.replacement.is_joined else None
