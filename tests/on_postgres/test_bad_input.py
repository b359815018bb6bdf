"""What is wrong about a URL, a server, a transaction or an argument is said in one line, with what to do."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine

from tests.behaviour.support import DEADLINE
from tests.postgres import Server, new_database, new_schema
from turnspit import JobDead, Turnspit
from turnspit.cli.main import main
from turnspit.engines.postgres import schema
from turnspit.engines.postgres.errors import translate
from turnspit.errors import ConfigurationError, EngineUnavailable, InvalidTransaction, StoreRefused


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server that asks the role ``locked`` for a password, and lets ``guest`` make nothing."""
    strict = Server(18, "fsync=off")
    rules = strict.data / "pg_hba.conf"
    rules.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    with psycopg.connect(strict.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE locked LOGIN PASSWORD 'right'; CREATE ROLE guest LOGIN")
        connection.execute("SELECT pg_reload_conf()")
    yield strict
    strict.remove()


def said(capsys: pytest.CaptureFixture[str], url: str) -> tuple[int, str]:
    """The exit code of a command on this store, and its one line."""
    code = main(["migrate", url])
    [line] = capsys.readouterr().err.splitlines()
    return code, line


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("locked:wrong@{}/postgres", "refuses the user or the password: check the URL"),
        ("locked@{}/postgres", "wants a password: put one into the URL, or set PGPASSWORD"),
        ("nobody@{}/postgres", "has no such user: check the URL"),
        ("postgres@{}/nowhere", "has no such database: create it with `createdb`, or check the URL"),
        ("postgres@{}/postgres?sslmode=require", "offers no encryption, which sslmode in the URL asks for"),
        ("postgres@{}/postgres?schema=Drop%20Table", "schema is a name of at most 40 small letters"),
    ],
)
def test_a_url_that_is_wrong_is_wrong_usage(
    strict: Server, capsys: pytest.CaptureFixture[str], url: str, words: str
) -> None:
    code, line = said(capsys, "postgresql://" + url.format(f"127.0.0.1:{strict.port}"))
    assert words in line
    assert "wrong@" not in line
    assert code == 2


def test_a_user_who_may_not_make_the_schema(strict: Server, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, f"postgresql://guest@127.0.0.1:{strict.port}/postgres")
    assert "has no schema yet, and this user may not change it" in line
    assert "run `turnspit migrate` as a user who may change it" in line
    assert code == 2


def test_an_unknown_host_is_named() -> None:
    """As the driver says it: looking the name up would ask somebody outside."""
    error = translate(
        psycopg.OperationalError("failed to resolve host 'nowhere': [Errno -2] unknown"), "postgresql://nowhere/shop"
    )
    assert type(error) is StoreRefused
    assert str(error).startswith("store postgresql://nowhere/shop is unknown: check the host's name in the URL (")


def test_a_server_that_is_away_is_no_wrong_usage() -> None:
    error = translate(psycopg.OperationalError("connection failed: Connection refused"), "postgresql://db/shop")
    assert type(error) is EngineUnavailable


def test_a_server_that_is_too_old(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(schema, "_OLDEST", 990000)
    with new_schema(18) as url:
        code, line = said(capsys, url)
    assert "is PostgreSQL 18" in line
    assert line.endswith("Turnspit needs 15 or newer")
    assert code == 2


def test_a_database_that_cannot_hold_every_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A result that could not be stored would hold up its worker."""
    code, line = said(capsys, new_database(options="ENCODING 'LATIN1' TEMPLATE template0"))
    assert "is a database in LATIN1, which cannot hold every text" in line
    assert code == 2


def test_a_database_without_an_encoding_and_a_client_with_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL_ASCII is what a server has that was made without a locale."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with Turnspit(new_database(options="ENCODING 'SQL_ASCII' TEMPLATE template0")) as app:

        @app.task
        async def echo(text: str) -> str:
            return text

        with app.worker():
            for job in (echo.enqueue("漢 😀"), echo.using(queue="é", delay=0.01).enqueue("é")):
                assert job.get_result(timeout=DEADLINE) == job.args["text"]


def test_a_transaction_of_another_database_of_the_server(app: Turnspit, send: Any) -> None:
    with (
        psycopg.connect(new_database()) as other,
        pytest.raises(InvalidTransaction, match="the jobs of this app are in"),
    ):
        send.using(tx=other).enqueue(1)
    assert app.jobs.count() == 0


def test_connections_that_are_closed(send: Any, plain_url: str) -> None:
    connection = psycopg.connect(plain_url)
    connection.close()
    with pytest.raises(InvalidTransaction, match="a connection that is closed"):
        send.using(tx=connection).enqueue(1)

    async def main() -> None:
        connection = await asyncpg.connect(plain_url)
        await connection.close()
        with pytest.raises(InvalidTransaction, match="a connection that is closed"):
            await send.using(tx=connection).aenqueue(1)

    asyncio.run(main())
    engine = create_engine(plain_url.replace("postgresql:", "postgresql+psycopg:"))
    closed = engine.connect()
    closed.close()
    with pytest.raises(InvalidTransaction, match="a connection that is closed"):
        send.using(tx=closed).enqueue(1)
    engine.dispose()


def test_a_payload_from_sql_that_does_not_validate_dies_alone(
    app: Turnspit, send: Any, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnspit._runtime.worker.endings._INVALID_PATIENCE", 0)
    name = app.engine.settings.schema  # type: ignore[attr-defined]
    query = f"""SELECT {name}.enqueue('send', '{{"order_id": "seven"}}'::jsonb)"""
    [broken] = connection.execute(query).fetchone() or ()
    connection.commit()
    well = send.enqueue(2)
    with app.worker():
        with pytest.raises(JobDead, match=r"is dead: InvalidPayload: .*order_id"):
            app.jobs.get(broken).get_result(DEADLINE)
        assert well.get_result(DEADLINE) == 2
    assert app.jobs.count(state="dead") == 1


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**63])
def test_a_priority_that_is_no_integer_of_the_database(app: Turnspit, send: Any, number: int) -> None:
    with pytest.raises(ConfigurationError, match=f"priority is a whole number from -32768 to 32767, not {number}"):
        send.using(priority=number).enqueue(1)
    assert app.jobs.count() == 0


def test_a_large_number_in_a_payload_is_kept_to_the_letter(app: Turnspit, send: Any) -> None:
    assert send.enqueue(2**200).refresh().args == {"order_id": 2**200}
