"""A store in a PostgreSQL database: composes the verbs and runs them."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import psycopg

from turnspit.clock import Clock, SystemClock, monotonic
from turnspit.contract import SchemaStatus
from turnspit.contract.verbs import Row, Statement, Verb
from turnspit.engines.answers import APART_DEADLINE, await_answer, wait_for_answer
from turnspit.engines.calls import Call
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
from turnspit.engines.postgres.locks import find_lock
from turnspit.engines.postgres.moves import PostgresMoveVerbs
from turnspit.engines.postgres.opening import Connection, connect, cut, patiently
from turnspit.engines.postgres.pool import Pool
from turnspit.engines.postgres.schema import PostgresSchema, check_server, migrate
from turnspit.engines.postgres.settings import parse_url
from turnspit.engines.postgres.wakeups import PostgresWakeups
from turnspit.engines.postgres.writer import Writer
from turnspit.engines.shared_runs import SharedRuns, await_run
from turnspit.engines.verbs.alerts import AlertVerbs
from turnspit.engines.verbs.bounds import ClaimBounds
from turnspit.engines.verbs.control import ControlVerbs
from turnspit.engines.verbs.figures import FigureVerbs
from turnspit.engines.verbs.pauses import PauseVerbs
from turnspit.engines.verbs.schedules import ScheduleVerbs
from turnspit.engines.verbs.workflows import WorkflowVerbs
from turnspit.errors import EngineUnavailable
from turnspit.jobs import JobFilter
from turnspit.records import NewJob, StoreLock

__all__ = ["PostgresEngine"]

Q = ParamSpec("Q")
T = TypeVar("T")

# Connections that a fork copied into this process. They belong to the parent: closed here, they would end there too.
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

    has_round_trips = True
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
        self._reset()
        guard_forks(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()  # a signal handler may close what its thread is opening or closing
        self._open: _Open | None = None
        self._runs = SharedRuns()
        self.bounds = ClaimBounds()
        self.wakeups = PostgresWakeups(self.settings)
        self._callers = CallerTransactions(self.location, self._ask)

    def prepare_fork(self) -> None:
        """Before a fork: close threads and connections, and open none until ``resume_after_fork``."""
        self._lock.acquire()
        try:
            self._close_threads()
        except BaseException:
            self._lock.release()
            raise

    def resume_after_fork(self) -> None:
        """In the parent: go on; the next call connects again."""
        self._lock.release()
        self.wakeups.resume()

    def forget_after_fork(self) -> None:
        """In the child: start anew. What could not be closed before, because a thread was busy, is kept for good."""
        _inherited.append((self._open, self.wakeups, self._callers))
        self._reset()

    def where(self, filter_: JobFilter) -> tuple[str, dict[str, Any]]:
        return where(filter_, self.settings.schema)

    def is_refused(self, error: Exception) -> bool:
        return isinstance(error, psycopg.IntegrityError | psycopg.DataError | psycopg.errors.RaiseException)

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = self._hand_over(_writers, lambda: verb(*args, **kwargs), here=True, new=self.only_new(verb, args))
        return cast("T", wait_for_answer(call, self.deadline, self._late, pool))

    def write_apart(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = self._hand_over(_apart, lambda: verb(*args, **kwargs))
        return cast("T", wait_for_answer(call, min(self.deadline, APART_DEADLINE), self._late, pool))

    def write_later(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> Callable[[], T]:
        pool, call = self._hand_over(_writers, lambda: verb(*args, **kwargs))
        return lambda: cast("T", wait_for_answer(call, self.deadline, self._late, pool))

    def try_write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T | None:
        opened, call = self._open, Call(lambda: verb(*args, **kwargs))
        if opened is None or not opened.writers.run_here(call):
            return None
        return cast("T", call.answer())

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = await self._ahand_over(_writers, lambda: verb(*args, **kwargs), new=self.only_new(verb, args))
        return cast("T", await await_answer(call, self.deadline, self._late, pool))

    async def awrite_beside(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = await self._ahand_over(_beside, lambda: verb(*args, **kwargs))
        return cast("T", await await_answer(call, self.deadline, self._late, pool))

    def read(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = self._hand_over(_readers, lambda: verb(*args, **kwargs))
        return cast("T", wait_for_answer(call, self.deadline, self._late, pool))

    async def aread(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        pool, call = await self._ahand_over(_readers, lambda: verb(*args, **kwargs))
        return cast("T", await await_answer(call, self.deadline, self._late, pool))

    def write_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        self._opened()
        return self._callers.run(tx, lambda: verb(*args, **kwargs), self.wakeups.statement)

    async def awrite_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        if self._open is None:
            await self._aopened()
        return await self._callers.arun(tx, lambda: verb(*args, **kwargs), self.wakeups.statement)

    def migrate(self) -> tuple[str, ...]:
        def work(connection: Connection) -> tuple[str, ...]:
            check_server(connection, self.location)
            return migrate(connection, self.schema, self.location)

        return self._on_connection(work)

    def schema_status(self) -> SchemaStatus:
        return self._read_status(monotonic() + self.deadline)

    def _read_status(self, until: float) -> SchemaStatus:
        return self._on_connection(lambda connection: self.schema.read_status(connection.execute), limit=until)

    def prepare(self, until: float | None = None) -> None:
        """As on every engine.

        :param until: when the caller gives up, if it has waited before.
        """
        status = self.schema_status() if until is None else self._read_status(until)
        status.refuse_incomplete(self.location)
        if not self._migrates:
            refuse_unprepared(status, self.location)
        elif status.pending or status.current != status.newest:
            self.migrate()

    def schema_sql(self, since: int = 0) -> str:
        return self.schema.sql(since)

    def diagnose(self) -> list[tuple[str, bool, str]]:
        return diagnose(self.settings)

    def find_danger(self) -> str | None:
        return None

    async def afind_lock(self) -> StoreLock | None:
        return await self.aread(find_lock, self.sql, self.settings.schema)

    def close(self) -> None:
        with self._lock:
            self._close_threads()

    def _close_threads(self) -> None:
        """Close threads and connections, keep the listeners of ``wakeups``."""
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
            if call is not None:  # otherwise it was closed in between, by another thread or before a fork
                return pool, call

    async def _ahand_over(
        self, choose: Callable[[_Open], Pool], make_verb: Callable[[], Verb[T]], new: NewJob[Any] | None = None
    ) -> tuple[Pool, Call]:
        while True:
            pool = choose(self._open or await self._aopened())
            call = pool.submit(make_verb, new=new)
            if call is not None:
                return pool, call

    def _opened(self) -> _Open:
        opened = self._open
        if opened is not None:
            return opened
        until = monotonic() + self.deadline
        if not self._lock.acquire(timeout=self.deadline):  # another thread is opening it, and the server is away
            raise EngineUnavailable(self._late_to_begin())
        try:
            if self._open is None:
                self.prepare(until)
            if self._open is None:  # else a signal handler has opened it meanwhile
                self._open = self._make_threads()
                self.wakeups.resume()
            return self._open
        finally:
            self._lock.release()

    async def _aopened(self) -> _Open:
        """Not by ``asyncio.to_thread``: callers would wait for its few threads, one deadline after another."""
        until = monotonic() + self.deadline
        earlier = self._runs.under_way(self._opened)
        if earlier is not None:
            try:
                return await await_run(earlier, self.deadline, self._late_to_begin)
            except EngineUnavailable:  # by the deadline of whoever began it, which is earlier than this one's
                if monotonic() >= until:
                    raise
        return await await_run(self._runs.start(self._opened), until - monotonic(), self._late_to_begin)

    def _make_threads(self) -> _Open:
        """Start the threads. None of them connects before its first call."""
        settings, deadline, wakeups, insert_each = self.settings, self.deadline, self.wakeups, self.insert_each
        soon = min(deadline, APART_DEADLINE)
        # A lease is valid for seconds only: its commit need not wait for a disk, nor for a standby that is away.
        relaxed = replace(settings, synchronous=False)
        return _Open(
            Pool(lambda queue, is_helper: Writer(queue, is_helper, settings, deadline, wakeups, insert_each)),
            Pool(lambda queue, is_helper: Reader(queue, is_helper, settings, deadline)),
            Pool(lambda queue, is_helper: Writer(queue, is_helper, relaxed, soon, wakeups, insert_each)),
            Pool(lambda queue, is_helper: Writer(queue, is_helper, settings, deadline, wakeups, insert_each)),
        )

    def _ask(self, statement: Statement) -> list[Row]:
        return self._on_connection(lambda connection: execute(connection, statement))

    def _on_connection(self, work: Callable[[Connection], T], *, limit: float | None = None) -> T:
        """Do this on a short-lived connection, and again if the server goes away meanwhile.

        :param work: may be repeated.
        :param limit: when to cut the connection, even if the server does not answer at all.
        """
        until = monotonic() + self.deadline if limit is None else limit

        def attempt() -> T:
            with ExitStack() as stack:

                def watch(connection: Connection) -> None:
                    if limit is not None:
                        stack.callback(_cut_at(until, connection))

                return work(stack.enter_context(closing(connect(self.settings, watch))))

        try:
            return patiently(attempt, lambda: monotonic() < until)
        except psycopg.Error as error:
            raise translate(error, self.location) from error

    def _late(self) -> str:
        return (
            f"store {self.location} did not answer within {self.deadline:g} s (does another transaction hold a lock, "
            "or is the server away? `turnspit doctor` looks)"
        )

    def _late_to_begin(self) -> str:
        return f"{self._late()}: the call was not carried out"


def _cut_at(moment: float, connection: Connection) -> Callable[[], None]:
    """Cut this connection at that moment; the returned function cancels that."""
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
