"""Turnspit in FastAPI: a lifespan, the app as a dependency, and jobs that join the request's SQLAlchemy session.

::

    api = FastAPI(lifespan=lifespan(app))
    SessionOfRequest = Annotated[AsyncSession, Depends(joining(app, get_session))]

    @api.post("/orders")
    async def place_order(session: SessionOfRequest) -> None:
        session.add(Order(id=7))
        await send_confirmation.aenqueue(order_id=7)     # no tx=: it exists if and only if the session commits
        await session.commit()
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection

from turnspit import ConfigurationError, Turnspit
from turnspit.transactions import is_async_sqlalchemy, sync_transaction_error, unscoped

__all__ = ["TurnspitOfRequest", "get_turnspit", "joining", "lifespan"]

T = TypeVar("T")


@dataclass
class _Joined:
    app: Turnspit
    session: Any
    """``None`` once the request has ended: a task that it started may outlive it, with a copy of its context."""


_joined: ContextVar[_Joined | None] = ContextVar("turnspit_session", default=None)


def lifespan(app: Turnspit, *, worker: bool = False) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """For ``FastAPI(lifespan=...)``: the store is closed when the server stops.

    :param worker: also run the jobs, in the server's own process: for a small service. Else start ``turnspit worker``
        beside it.

    A lifespan of your own enters this one first: ``async with lifespan(app)(api): ...``.
    """

    @asynccontextmanager
    async def run(api: FastAPI) -> AsyncIterator[None]:
        api.state.turnspit = app
        async with app:
            if not worker:
                yield
                return
            async with app.worker():
                yield

    return run


def get_turnspit(request: HTTPConnection) -> Turnspit:
    """The app that was given to ``lifespan``: for a router whose module cannot import it.

    :raises ConfigurationError: if the server was started without it.
    """
    app = getattr(request.app.state, "turnspit", None)
    if not isinstance(app, Turnspit):
        raise ConfigurationError(
            "this FastAPI has no Turnspit: write FastAPI(lifespan=turnspit.contrib.fastapi.lifespan(app))"
        )
    return app


TurnspitOfRequest = Annotated[Turnspit, Depends(get_turnspit)]
"""A parameter's type: ``async def endpoint(app: TurnspitOfRequest)``."""


def joining(app: Turnspit, get_session: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
    """A dependency that gives the session of ``get_session`` and lets the request's jobs join its transaction.

    With an ``AsyncSession`` every async verb joins it (``aenqueue``, ``app.aenqueue_many``, ``app.jobs.acancel``), with
    a ``Session`` every sync verb. Committing and closing stay with you and ``get_session``. A background task that
    outlives its request joins nothing.

    :param get_session: your own dependency that gives a session.
    """
    app.join(_RequestSession(app))

    async def give_joined_session(session: Annotated[Any, Depends(get_session)]) -> AsyncIterator[Any]:
        joined = _Joined(app, unscoped(session))
        token = _joined.set(joined)
        try:
            yield session
        finally:
            joined.session = None
            _joined.reset(token)

    return give_joined_session


class _RequestSession:
    """Implements ``turnspit.ambient.AmbientTransactions``."""

    def __init__(self, app: Turnspit) -> None:
        self._app = app

    def current(self) -> object | None:
        joined = _joined.get()
        return joined.session if joined is not None and joined.app is self._app else None

    async def acall(self, function: Callable[[], T]) -> T:
        session: Any = self.current()
        if session is None:
            return function()
        if not is_async_sqlalchemy(session):
            raise sync_transaction_error(session)

        def call(sync_session: Any) -> T:
            token = _joined.set(_Joined(self._app, sync_session))
            try:
                return function()
            finally:
                _joined.reset(token)

        result: T = await session.run_sync(call)
        return result
