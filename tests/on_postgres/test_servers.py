"""Servers that are wrong, refuse, or go away."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.behaviour.support import DEADLINE
from tests.postgres import Server, new_schema, server, server_url, with_schema
from turnspit import EngineUnavailable, InvalidPayload, Turnspit
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines import open_engine
from turnspit.errors import ConfigurationError, EngineError, SchemaMismatch
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that the tests here may stop."""
    own = Server(18, "fsync=off")
    yield own
    own.remove()


def failure(url: str) -> str:
    """What a first call says."""
    engine = open_engine(url, deadline=1)
    with pytest.raises(EngineUnavailable) as raised:
        engine.write(engine.insert_job, NEW)
    engine.close()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_wrong_database_is_named() -> None:
    assert "has no such database" in failure(
        server(18).url.replace("/postgres", "/nowhere").replace("//nowhere", "//postgres")
    )


def test_a_wrong_user_is_named() -> None:
    assert "has no such user" in failure(server(18).url.replace("postgres@", "nobody@"))


def test_nobody_listens() -> None:
    assert "cannot be reached: is the server running, and the URL right? (connection" in failure(
        "postgresql://postgres@127.0.0.1:1/postgres"
    )


def test_a_password_is_never_shown() -> None:
    message = failure("postgresql://ada:hush@127.0.0.1:1/shop")
    assert "hush" not in message
    assert "postgresql://ada@127.0.0.1:1/shop" in message


@pytest.mark.parametrize(
    "scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg2"]
)
def test_the_forms_of_a_url(scheme: str) -> None:
    assert Turnspit(f"{scheme}://ada@db:5433/shop").engine.location == "postgresql://ada@db:5433/shop"


@pytest.mark.parametrize(
    ("place", "location"),
    [
        ("ada:hush@db1:5433,db2:5434/shop", "ada@db1:5433,db2:5434/shop"),
        ("db1,db2/shop?target_session_attrs=any", "db1,db2/shop"),
        ("db1,db2:5434/shop", "db1,db2:5434/shop"),
        ("ada@[::1]:5433,db2/shop", "ada@[::1]:5433,db2/shop"),
    ],
)
def test_several_hosts_in_a_url(place: str, location: str) -> None:
    """The one that can be written is looked for, unless the URL says otherwise."""
    engine = open_engine(f"postgresql://{place}")
    assert engine.location == f"postgresql://{location}"
    wanted = engine.settings.conninfo["target_session_attrs"]  # type: ignore[attr-defined]
    assert wanted == ("any" if "any" in place else "read-write")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://db/shop?schema=Drop Table", "schema is a name of at most 40"),
        ("postgresql://db/shop?poll_only=maybe", "poll_only in a URL is true or false"),
        ("postgresql://ada:hush@db/shop?colour=red", "not one that PostgreSQL knows: invalid URI query parameter"),
    ],
)
def test_a_url_that_cannot_be_understood(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        Turnspit(url)
    assert "hush" not in str(raised.value)


def test_a_user_without_privileges_is_told(store_url: str, app: Turnspit) -> None:
    schema = app.engine.settings.schema  # type: ignore[attr-defined]
    with psycopg.connect(server_url(store_url), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE guest_{schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO guest_{schema}")
        connection.execute(f"GRANT SELECT ON {schema}.migrations TO guest_{schema}")
        guest = open_engine(store_url.replace("postgres@", f"guest_{schema}@"))
        with pytest.raises(EngineError, match="this user lacks a privilege") as raised:
            guest.write(guest.insert_job, NEW)
        assert "\n" not in str(raised.value)
        guest.close()
        connection.execute(f"DROP OWNED BY guest_{schema}; DROP ROLE guest_{schema}")


def test_a_read_only_server_is_told(store_url: str) -> None:
    engine = open_engine(store_url + "&options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(EngineUnavailable, match="is read-only"):
        engine.write(engine.insert_job, NEW)
    engine.close()


def test_a_worker_that_ended_in_order_did_not_die(app: Turnspit) -> None:
    with app.worker(until_empty=True) as worker:
        worker.wait()
    [record] = app.engine.read(app.engine.list_workers)
    assert record.stopped_at == record.expires_at


def test_nul_has_no_place(app: Turnspit) -> None:
    @app.task
    def note(text: str) -> None: ...

    with pytest.raises(InvalidPayload, match="NUL character, which PostgreSQL cannot store"):
        note.enqueue("a\0b")
    with pytest.raises(InvalidPayload, match="NUL character"):
        app.enqueue_many([note.new("a\0b")])
    assert note.enqueue("a backslash, \\u0000").refresh().args == {"text": "a backslash, \\u0000"}


def test_an_error_with_nul_is_kept(app: Turnspit) -> None:
    @app.task
    def fail() -> None:
        raise ValueError("a\0b")

    job = fail.enqueue()
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert job.refresh().reason == "a\\0b"


def test_a_newer_schema_is_refused_with_the_cure(store_url: str, app: Turnspit) -> None:
    app.close()
    with psycopg.connect(server_url(store_url)) as connection:
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
        connection.execute(f"INSERT INTO {schema}.migrations VALUES (999, 'tomorrow', 999)")
    with pytest.raises(SchemaMismatch, match=r"has schema 999, but this Turnspit knows \d+: upgrade turnspit"):
        app.run_worker(until_empty=True)


def test_the_printed_script_makes_the_same_schema(store_url: str) -> None:
    engine = open_engine(store_url)
    with psycopg.connect(server_url(store_url), autocommit=True) as connection:
        connection.execute(engine.schema_sql())
    assert engine.migrate() == ()
    assert engine.write(engine.insert_job, NEW).id == 1
    engine.close()


def test_a_restart_of_the_server_loses_nothing(own: Server) -> None:
    with Turnspit(with_schema(own.url, "restart")) as app:

        @app.task
        async def double(number: int) -> int:
            return number * 2

        with app.worker():
            assert double.enqueue(1).get_result(DEADLINE) == 2
            own.stop("fast")
            with ThreadPoolExecutor(1) as thread:
                waiting = thread.submit(double.enqueue, 2)
                own.start()
                assert waiting.result(DEADLINE).get_result(DEADLINE) == 4
            assert double.enqueue(3).get_result(DEADLINE) == 6
        assert app.jobs.count(state="completed") == 3


def test_while_the_server_is_away_a_call_ends_at_its_deadline(own: Server) -> None:
    engine = open_engine(with_schema(own.url, "away"), deadline=0.5)
    engine.write(engine.insert_job, NEW)
    own.stop("fast")
    with pytest.raises(EngineUnavailable):
        engine.write(engine.insert_job, NEW)
    own.start()
    assert engine.write(engine.insert_job, NEW).id > 1
    engine.close()


def test_a_locked_row_holds_up_nobody_else(store_url: str, app: Turnspit) -> None:
    engine = open_engine(store_url, deadline=5)
    job = engine.write(engine.insert_job, NEW).id
    schema = app.engine.settings.schema  # type: ignore[attr-defined]

    def lock_out() -> Verb[None]:
        yield Statement(f"SELECT FROM {schema}.jobs WHERE id = {job} FOR UPDATE", {})

    with psycopg.connect(server_url(store_url)) as other, ThreadPoolExecutor(1) as thread:
        other.execute(f"SELECT FROM {schema}.jobs WHERE id = {job} FOR UPDATE")
        stuck = thread.submit(engine.write, lock_out)
        for _ in range(3):
            engine.write(engine.insert_job, NEW)
        assert not stuck.done()
        other.commit()
        stuck.result(DEADLINE)
    engine.close()


def test_a_call_that_nobody_waits_for_any_longer_lets_go_of_its_connection(store_url: str, app: Turnspit) -> None:
    engine = open_engine(store_url, deadline=0.5)
    job = engine.write(engine.insert_job, NEW).id
    schema = app.engine.settings.schema  # type: ignore[attr-defined]

    def lock_out() -> Verb[None]:
        yield Statement(f"SELECT FROM {schema}.jobs WHERE id = {job} FOR UPDATE", {})

    with psycopg.connect(server_url(store_url)) as other:
        other.execute(f"SELECT FROM {schema}.jobs WHERE id = {job} FOR UPDATE")
        with pytest.raises(EngineUnavailable, match="may or may not have been carried out"):
            engine.write(lock_out)
        assert engine.write(engine.insert_job, NEW).id > job
    engine.close()


def test_a_pooler_is_polled_only() -> None:
    with new_schema(18) as url, Turnspit(url + "&poll_only=true") as app:

        @app.task
        async def double(number: int) -> int:
            return number * 2

        with app.worker():
            assert double.enqueue(4).get_result(DEADLINE) == 8
        with psycopg.connect(server(18).url) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND query LIKE %s"
            assert connection.execute(query, (f"%{url.rpartition('=')[2]}%",)).fetchone() == (0,)


def test_a_socket_is_reached_without_a_host_in_the_url(own: Server) -> None:
    with Turnspit(f"postgresql:///postgres?host={own.folder}&port={own.port}&user=postgres") as app:
        assert app.jobs.count() == 0
