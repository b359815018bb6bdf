"""An app's store: the URL that names it, and the engine behind it."""

import os
from typing import Any

from turnspit.ambient import AmbientTransactions, joined
from turnspit.contract import Engine
from turnspit.engines import DEFAULT_URL, open_engine

__all__ = ["Store"]


class Store:
    """Opened by the first call that needs it, and again after ``close``.

    :param url: the store's URL; default: ``$TURNSPIT_URL``, else ``DEFAULT_URL``.
    :param options: of the engine.
    """

    def __init__(self, url: str | None, **options: Any) -> None:
        self.url = url
        self._options = options
        self._engine = None if url is None else open_engine(url, **options)
        self._replacement: Engine | None = None
        self._ambient: AmbientTransactions | None = None

    @property
    def engine(self) -> Engine:
        """The engine for callers: inside a transaction that ``join`` names, their calls are part of it."""
        if self._ambient is None or self._replacement is not None:
            return self.own_engine
        return joined(self.own_engine, self._ambient)

    @property
    def own_engine(self) -> Engine:
        """The engine for workers, which join nobody's transaction."""
        if self._replacement is not None:
            return self._replacement
        if self._engine is None:
            self._engine = open_engine(self.url or os.environ.get("TURNSPIT_URL") or DEFAULT_URL, **self._options)
        return self._engine

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

    def replace(self, engine: Engine | None) -> Engine | None:
        """Use this engine instead, until called with ``None``; what it replaces.

        A replacement outlives ``configure``: an application factory that runs in a test cannot undo it.
        """
        before, self._replacement = self._replacement, engine
        return before

    def close(self) -> None:
        """Let go of connections and threads."""
        engine = self._replacement or self._engine
        if engine is not None:
            engine.close()
