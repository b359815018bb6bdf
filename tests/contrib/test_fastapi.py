"""``turnspit.contrib.fastapi``: the lifespan, the dependencies, and who joins which session."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.behaviour.support import DEADLINE
from tests.postgres import server_url
from turnspit import ConfigurationError, Turnspit
from turnspit.contrib.fastapi import TurnspitOfRequest, joining, lifespan
from turnspit.tasks import Task

Send = Task[[int], int]


@pytest.fixture
def send(app: Turnspit) -> Send:
    @app.task
    def send(order_id: int) -> int:
        return order_id

    app.migrate()
    return send


@pytest.fixture
def get_session(store_url: str) -> Any:
    url = server_url(store_url).replace("postgresql:", "postgresql+asyncpg:").replace("sqlite:", "sqlite+aiosqlite:")

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(create_async_engine(url, poolclass=NullPool)) as session:
            yield session

    return get_session


@pytest.fixture
def get_sync_session(store_url: str) -> Any:
    url = server_url(store_url).replace("postgresql:", "postgresql+psycopg:")

    def get_sync_session() -> Iterator[Session]:
        with Session(create_engine(url, poolclass=NullPool)) as session:
            yield session

    return get_sync_session


def post(api: FastAPI, *paths: str) -> list[Any]:
    """What these answer, asked one after the other while the server is up."""

    async def main() -> list[Any]:
        transport = httpx.ASGITransport(api)
        async with api.router.lifespan_context(api), httpx.AsyncClient(transport=transport, base_url="http://a") as web:
            answers = [await web.post(path) for path in paths]
        return [answer.raise_for_status().json() for answer in answers]

    return asyncio.run(main())


def orders(app: Turnspit) -> list[int]:
    return sorted(job.args["order_id"] for job in app.jobs.list())


def test_async_verbs_join_the_async_session_of_the_request(app: Turnspit, send: Send, get_session: Any) -> None:
    api = FastAPI(lifespan=lifespan(app))

    @api.post("/{commits}")
    async def place(commits: bool, session: Annotated[AsyncSession, Depends(joining(app, get_session))]) -> int:
        await send.aenqueue(1)
        await app.aenqueue_many([send.new(2), send.new(3)])
        doomed = await send.aenqueue(4)
        await app.jobs.adelete(doomed.id)
        if commits:
            await session.commit()
        return await app.jobs.acount()

    assert post(api, "/false", "/false") == [3, 3], "a request sees its own jobs, and only those"
    assert orders(app) == []
    assert post(api, "/true") == [3]
    assert orders(app) == [1, 2, 3]


def test_an_endpoint_without_it_is_not_affected(app: Turnspit, send: Send, get_session: Any) -> None:
    api = FastAPI()
    joining(app, get_session)

    @api.post("/")
    async def place(session: Annotated[AsyncSession, Depends(get_session)]) -> None:
        await send.aenqueue(1)

    post(api, "/")
    assert orders(app) == [1]


def test_plain_verbs_join_the_session_of_a_plain_endpoint(app: Turnspit, send: Send, get_sync_session: Any) -> None:
    api = FastAPI()

    @api.post("/{commits}")
    def place(commits: bool, session: Annotated[Session, Depends(joining(app, get_sync_session))]) -> None:
        send.enqueue(1)
        if commits:
            session.commit()

    post(api, "/false")
    assert orders(app) == []
    post(api, "/true")
    assert orders(app) == [1]


def test_the_other_kind_of_verb_is_refused(app: Turnspit, send: Send, get_session: Any, get_sync_session: Any) -> None:
    api = FastAPI()

    @api.post("/async")
    async def in_async(session: Annotated[Session, Depends(joining(app, get_sync_session))]) -> None:
        await send.aenqueue(1)

    @api.post("/sync")
    def in_sync(session: Annotated[AsyncSession, Depends(joining(app, get_session))]) -> None:
        send.enqueue(1)

    with pytest.raises(Exception, match=r"^a sqlalchemy Session is not async: use the verb without an a in front"):
        post(api, "/async")
    with pytest.raises(
        Exception, match=r"^the sqlalchemy AsyncSession is for async code: use the verb with an a in front"
    ):
        post(api, "/sync")
    assert orders(app) == []


def test_what_a_request_leaves_running_joins_nothing(app: Turnspit, send: Send, get_session: Any) -> None:
    """A task inherits the context of the request, whose session is closed by then: its job would be lost in there."""
    api = FastAPI()
    ended = asyncio.Event()
    left: list[asyncio.Task[None]] = []

    async def later() -> None:
        await ended.wait()
        await send.aenqueue(1)

    @api.post("/leave")
    async def leave(session: Annotated[AsyncSession, Depends(joining(app, get_session))]) -> None:
        left.append(asyncio.create_task(later()))

    @api.post("/wait")
    async def wait() -> None:
        ended.set()
        await left[0]

    post(api, "/leave", "/wait")
    assert orders(app) == [1]


def test_an_app_of_another_store_is_not_touched(app: Turnspit, send: Send, get_session: Any, folder: Any) -> None:
    api = FastAPI()
    with Turnspit(f"sqlite:///{folder}/other.db") as other:

        @other.task
        def elsewhere() -> None: ...

        joining(other, get_session)

        @api.post("/")
        async def place(session: Annotated[AsyncSession, Depends(joining(app, get_session))]) -> None:
            await elsewhere.aenqueue()

        post(api, "/")
        assert other.jobs.count() == 1


def test_a_small_service_works_its_jobs_off_itself(app: Turnspit, send: Send) -> None:
    api = FastAPI(lifespan=lifespan(app, worker=True))

    @api.post("/")
    async def place(app: TurnspitOfRequest) -> int:
        job = await send.aenqueue(7)
        return int(await (await app.jobs.aget(job.id)).aget_result(DEADLINE))

    assert [post(api, "/"), post(api, "/")] == [[7], [7]]


def test_the_dependency_without_the_lifespan_says_what_to_write() -> None:
    api = FastAPI()

    @api.post("/")
    async def show(app: TurnspitOfRequest) -> None: ...

    with pytest.raises(ConfigurationError, match=r"write FastAPI\(lifespan="):
        post(api, "/")
