"""A store in a PostgreSQL database: composes the verbs and runs them."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import psycopg

from turnspit.clock import Clock, SystemClock, monotonic
from turnspit.contract import SchemaStatus
from turnspit.contract.verbs import Row, Statement, Verb
from turnspit.engines.calls import APART_DEADLINE, Call, await_answer, wait_for_answer
from turnspit.engines.forks import guard_forks
from turnspit.engines.migrations import refuse_unprepared
from turnspit.engines.postgres.blocks import load
from turnspit.engines.postgres.caller import CallerTransactions
from turnspit.engines.postgres.connection import Reader, execute
from turnspit.engines.postgres.doctor import diagnose
from turnspit.engines.postgres.errors import translate
from turnspit.engines.postgres.filters import where
from turnspit.engines.postgres.jobs import PostgresJobVerbs
from turnspit.engines.postgres.leases import PostgresLeaseVerbs
from turnspit.engines.postgres.moves import PostgresMoveVerbs
from turnspit.engines.postgres.opening import Connection, connect, cut, patiently
from turnspit.engines.postgres.pool import Pool
from turnspit.engines.postgres.schema import PostgresSchema, check_version, migrate
from turnspit.engines.postgres.settings import parse_url
from turnspit.engines.postgres.wakeups import PostgresWakeups
from turnspit.engines.postgres.writer import Writer
from turnspit.engines.verbs.alerts import AlertVerbs
from turnspit.engines.verbs.bounds import ClaimBounds
from turnspit.engines.verbs.control import ControlVerbs
from turnspit.engines.verbs.figures import FigureVerbs
from turnspit.engines.verbs.pauses import PauseVerbs
from turnspit.engines.verbs.schedules import ScheduleVerbs
from turnspit.engines.verbs.workflows import WorkflowVerbs
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

__all__ = ["PostgresEngine"]

Q = ParamSpec("Q")
T = TypeVar("T")

# Connections that a fork copied into this process. They belong to the parent: closing one here would end it there.
_inherited: list[object] = []


class _Open(NamedTuple):
    writers: Pool
    readers: Pool
    apart: Pool
    beside: Pool


class PostgresEngine(
    PostgresJobVerbs,
    PostgresLeaseVerbs,
    PauseVerbs,
    AlertVerbs,
    ControlVerbs,
    FigureVerbs,
    ScheduleVerbs,
    WorkflowVerbs,
    PostgresMoveVerbs,
):
    """The PostgreSQL engine. It connects at the first use, and again after ``close`` or a fork.

    :param url: as ``postgresql://user:password@host:5432/database``; ``?schema=`` and ``?poll_only=`` in it win over
        the parameters of these names.
    :param durability: ``"full"``: an accepted job survives a power cut (``synchronous_commit=on``, or what the server
        has that is stronger). ``"relaxed"``: a power cut of the server may take the last moments.
    :param deadline: seconds that a call waits for the store.
    :param schema: the PostgreSQL schema that holds the tables; ``turnspit`` by default.
    :param migrate: whether the first use brings the schema up to date; if not, it only sees that it is.
    :param poll_only: use no LISTEN, no NOTIFY and no prepared statements, for a transaction pooler.
    """

    has_two_writers = True

    def __init__(
        self,
        url: str,
        *,
        durability: str = "full",
        deadline: float = 10.0,
        schema: str | None = None,
        poll_only: bool | None = None,
        migrate: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.settings = parse_url(url, durability=durability, schema=schema, poll_only=poll_only)
        self.location = self.settings.location
        self.sql = load(self.settings.schema)
        self.schema = PostgresSchema(self.settings.schema)
        self.clock = clock or SystemClock()
        self.deadline = deadline
        self._migrates = migrate
        self._forget()
        guard_forks(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._open: _Open | None = None
        self.bounds = ClaimBounds()
        self.wakeups = PostgresWakeups(self.settings)
        self._callers = CallerTransactions(self.location, self.settings.schema, self._ask)

    def prepare_fork(self) -> None:
        """Before a fork: let go of threads and connections, and open none until ``resume_after_fork``."""
        self._lock.acquire()
        try:
            self._let_go()
        except BaseException:
            self._lock.release()
            raise

    def resume_after_fork(self) -> None:
        """In the parent: go on; the next call connects again."""
        self._lock.release()
        self.wakeups.resume()

    def forget_after_fork(self) -> None:
        """In the child: begin anew. What a busy thread of the parent did not let go of is kept, never closed."""
        _inherited.append((self._open, self.wakeups, self._callers))
        self._forget()

    def where(self, filter_: JobFilter) -> tuple[str, dict[str, Any]]:
        return where(filter_)

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = self._hand_over(_writers, lambda: verb(*args, **kwargs), here=True, new=self.only_new(verb, args))
        return cast("T", wait_for_answer(call, self.deadline, self._late, pool))

    def write_apart(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = self._hand_over(_apart, lambda: verb(*args, **kwargs))
        return cast("T", wait_for_answer(call, min(self.deadline, APART_DEADLINE), self._late, pool))

    def write_later(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> Callable[[], T]:
        pool, call = self._hand_over(_writers, lambda: verb(*args, **kwargs))
        return lambda: cast("T", wait_for_answer(call, self.deadline, self._late, pool))

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = await self._ahand_over(_writers, lambda: verb(*args, **kwargs), new=self.only_new(verb, args))
        return cast("T", await await_answer(call.future, self.deadline, self._late, pool))

    async def awrite_beside(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = await self._ahand_over(_beside, lambda: verb(*args, **kwargs))
        return cast("T", await await_answer(call.future, self.deadline, self._late, pool))

    def read(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = self._hand_over(_readers, lambda: verb(*args, **kwargs))
        return cast("T", wait_for_answer(call, self.deadline, self._late, pool))

    async def aread(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = await self._ahand_over(_readers, lambda: verb(*args, **kwargs))
        return cast("T", await await_answer(call.future, self.deadline, self._late, pool))

    def write_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        self._opened()
        return self._callers.run(tx, lambda: verb(*args, **kwargs), self.wakeups.statement)

    async def awrite_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        if self._open is None:
            await asyncio.to_thread(self._opened)
        return await self._callers.arun(tx, lambda: verb(*args, **kwargs), self.wakeups.statement)

    def migrate(self) -> tuple[str, ...]:
        def work(connection: Connection) -> tuple[str, ...]:
            check_version(connection, self.location)
            return migrate(connection, self.schema, self.location)

        return self._on_connection(work)

    def schema_status(self) -> SchemaStatus:
        return self._on_connection(lambda connection: self.schema.read_status(connection.execute), is_limited=True)

    def prepare(self) -> None:
        status = self.schema_status()
        status.refuse_incomplete(self.location)
        if not self._migrates:
            refuse_unprepared(status, self.location)
        elif status.pending or status.current != status.newest:
            self.migrate()

    def schema_sql(self, since: int = 0) -> str:
        return self.schema.sql(since)

    def diagnose(self) -> list[tuple[str, bool, str]]:
        return diagnose(self.settings)

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        """Close threads and connections, keep who listens."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.writers.close()
            opened.readers.close()
            opened.apart.close()
            opened.beside.close()
        self.wakeups.pause()

    def _hand_over(
        self,
        choose: Callable[[_Open], Pool],
        make_verb: Callable[[], Verb[T]],
        *,
        here: bool = False,
        new: NewJob[Any] | None = None,
    ) -> tuple[Pool, Call]:
        while True:
            pool = choose(self._opened())
            call = pool.submit(make_verb, here=here, new=new)
            if call is not None:  # else it was closed in between, by another thread or before a fork
                return pool, call

    async def _ahand_over(
        self, choose: Callable[[_Open], Pool], make_verb: Callable[[], Verb[T]], new: NewJob[Any] | None = None
    ) -> tuple[Pool, Call]:
        opened = self._open
        if opened is not None:
            pool = choose(opened)
            call = pool.submit(make_verb, new=new)
            if call is not None:
                return pool, call
        return await asyncio.to_thread(self._hand_over, choose, make_verb, new=new)

    def _opened(self) -> _Open:
        opened = self._open
        if opened is not None:
            return opened
        with self._lock:
            if self._open is None:
                self.prepare()
                self._open = self._make_threads()
                self.wakeups.resume()
            return self._open

    def _make_threads(self) -> _Open:
        """None of them connects before its first call."""
        settings, deadline, send, insert_each = self.settings, self.deadline, self.wakeups.send, self.insert_each
        soon = min(deadline, APART_DEADLINE)
        # A lease is written down for now: it need not wait for a disk, nor for a standby that is away.
        passing = replace(settings, synchronous=False)
        return _Open(
            Pool(lambda queue, is_helper: Writer(queue, is_helper, settings, deadline, send, insert_each)),
            Pool(lambda queue, is_helper: Reader(queue, is_helper, settings, deadline)),
            Pool(lambda queue, is_helper: Writer(queue, is_helper, passing, soon, send, insert_each)),
            Pool(lambda queue, is_helper: Writer(queue, is_helper, settings, deadline, send, insert_each)),
        )

    def _ask(self, statement: Statement) -> list[Row]:
        return self._on_connection(lambda connection: execute(connection, statement))

    def _on_connection(self, work: Callable[[Connection], T], *, is_limited: bool = False) -> T:
        """Do what can be done twice on a connection for a moment: again when the server goes away meanwhile.

        :param is_limited: the connection is cut at the deadline, also if no byte comes.
        """
        until = monotonic() + self.deadline

        def attempt() -> T:
            with ExitStack() as stack:

                def limit(connection: Connection) -> None:
                    if is_limited:
                        stack.callback(_cut_at(until, connection))

                return work(stack.enter_context(closing(connect(self.settings, limit))))

        try:
            return patiently(attempt, lambda: monotonic() < until)
        except psycopg.Error as error:
            raise translate(error, self.location) from error

    def _late(self) -> str:
        return (
            f"store {self.location} did not answer within {self.deadline:g} s (does another transaction hold a lock, "
            "or is the server away? `turnspit doctor` looks)"
        )


def _cut_at(moment: float, connection: Connection) -> Callable[[], None]:
    """Cut this connection at that moment, unless what is returned is called before."""
    timer = threading.Timer(max(0.0, moment - monotonic()), cut, [connection])
    timer.daemon = True
    timer.start()
    return timer.cancel


def _writers(opened: _Open) -> Pool:
    return opened.writers


def _readers(opened: _Open) -> Pool:
    return opened.readers


def _apart(opened: _Open) -> Pool:
    return opened.apart


def _beside(opened: _Open) -> Pool:
    return opened.beside
