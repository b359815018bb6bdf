"""The app: the only module that wires things together."""

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from turnspit._runtime.health import Health
from turnspit._runtime.maintenance.watcher import Watcher
from turnspit._runtime.process import run_worker_process
from turnspit._runtime.worker.embedded import EmbeddedWorker
from turnspit._runtime.worker.settings import WorkerParts, check_max_crashes, make_settings
from turnspit.ambient import AmbientTransactions
from turnspit.blueprints import Blueprint, TaskDeclarer
from turnspit.client import Client
from turnspit.clock import Duration, to_duration
from turnspit.codec import DEFAULT_LIMIT, check_text
from turnspit.contract import Engine
from turnspit.discovery import import_tree
from turnspit.errors import ConfigurationError
from turnspit.following import EventFollower
from turnspit.hooks import HookDeclarer
from turnspit.jobs import Job
from turnspit.limits import Rate
from turnspit.operations import Jobs, Limits, Queues, Schedules, Workers, Workflows
from turnspit.other_queues import TellsWhatToWrite
from turnspit.payloads import Payloads
from turnspit.queues import Queue, QueueLimits, check_queues
from turnspit.records import NewJob
from turnspit.retries import Retry
from turnspit.stores import Store
from turnspit.task_options import check_retry, check_timeout
from turnspit.tasks import BoundTask, Task
from turnspit.workflow_declaring import WorkflowDeclarer
from turnspit.workflow_store import WorkflowWriter

if TYPE_CHECKING:
    from turnspit.web import Dashboard

__all__ = ["Turnspit"]

_SECOND = 1_000_000


class Turnspit(TaskDeclarer, HookDeclarer, WorkflowDeclarer, EventFollower, TellsWhatToWrite):
    """An application's jobs: its tasks and the store where their jobs live.

    Constructing it opens nothing; the store is opened by the first call that needs it.

    :param url: ``sqlite:///shop.db``, or ``postgresql://user@host/shop``. Default: ``$TURNSPIT_URL``, else
        ``sqlite:///turnspit.db``.
    :param name: the app's own name: apps that share a store need different ones, so that each keeps its schedules.
    :param retry: for tasks without their own; ten attempts by default.
    :param timeout: seconds or ``timedelta`` that one attempt may take; one hour by default.
    :param max_payload: bytes of JSON that one job's arguments may take; 1 MiB by default.
    :param max_result: bytes of JSON that one result may take; 1 MiB by default.
    :param keep_history: how long completed and cancelled jobs are kept, seconds or ``timedelta``; seven days by
        default, ``None`` for good.
    :param keep_dead: how long dead letters are kept; ``None``, the default, keeps them for good.
    :param durability: ``"full"``: an accepted job survives a power cut. ``"relaxed"``: it survives the death of
        every process, and a power cut may take the last moments.
    :param deadline: seconds or ``timedelta`` that a call waits for the store before it raises ``EngineUnavailable``.
    :param max_crashes: how often a job may crash its worker until it is dead, not counting the first crash, which may
        be a neighbour's fault; from then on it begins alone in its process.
    :param migrate: whether the first use makes the store's schema and brings it up to date. With ``False`` that is left
        to ``turnspit migrate`` or your own migrations, and a store that lacks one raises ``SchemaMismatch``.
    :param queues: options of queues: ``[Queue("heavy", concurrency=2)]``.
    :param limits: rates by name, for code outside jobs: ``{"partner-api": Rate(10)}``; see ``app.limits.acquire``.

    ::

        app = Turnspit("sqlite:///shop.db")

        @app.task
        async def greet(name: str) -> str:
            return f"Hello {name}"
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str = "default",
        retry: Retry | None = None,
        timeout: Duration = 3600,
        max_payload: int = DEFAULT_LIMIT,
        max_result: int = DEFAULT_LIMIT,
        keep_history: Duration | None = timedelta(days=7),
        keep_dead: Duration | None = None,
        durability: str = "full",
        deadline: Duration = 10.0,
        max_crashes: int = 3,
        migrate: bool = True,
        queues: Iterable[Queue] = (),
        limits: Mapping[str, Rate] | None = None,
    ) -> None:
        super().__init__()
        self.name = check_text(name, "an app's name")
        declared = check_queues(queues)
        self.queue_limits: Mapping[str, QueueLimits] = {name: queue.limits() for name, queue in declared.items()}
        self.bounded_queues: Mapping[str, Queue] = {
            name: queue for name, queue in declared.items() if queue.max_waiting is not None
        }
        self.max_payload = max_payload
        self._retry = check_retry(retry) or Retry()
        self.timeout = check_timeout(timeout)
        self.max_result = max_result
        self._max_crashes = check_max_crashes(max_crashes)
        self._keep_history = None if keep_history is None else to_duration(keep_history, "keep_history")
        self._keep_dead = None if keep_dead is None else to_duration(keep_dead, "keep_dead")
        self.deadline = to_duration(deadline, "deadline") / _SECOND
        self.store = Store(url, durability=durability, deadline=self.deadline, migrate=migrate)
        self._payloads: tuple[list[Task[Any, Any]], Payloads] | None = None
        self._client = Client(self)
        self.jobs = Jobs(self, self._client)
        self.queues = Queues(self)
        self.schedules = Schedules(self)
        self.workers = Workers(self)
        self.limits = Limits(self, limits or {})
        self.workflows = Workflows(self)

    @property
    def engine(self) -> Engine:
        """The store, as callers see it: inside a transaction that ``join`` names, their calls are part of it."""
        return self.store.engine

    def in_transaction(self) -> bool:
        """Whether calls join a transaction that ``join`` names at this moment."""
        return self.store.in_transaction()

    def configure(self, url: str) -> None:
        """Set the store's URL later than at construction, as a Flask application factory does.

        :raises ConfigurationError: for a URL that no engine has.
        """
        self.store.configure(url)

    def join(self, ambient: AmbientTransactions | None) -> None:
        """Let callers join a framework's transactions without ``tx=``; ``None`` ends it. For framework adapters."""
        self.store.join(ambient)

    def _declare(self, task: Task[Any, Any]) -> None:
        self._include_task(task)

    def _include_task(self, task: Task[Any, Any]) -> None:
        task.check_free(self._client)
        self.tasks.add(task)
        task.bind_to(self._client)

    def include(self, blueprint: Blueprint) -> None:
        """Make a blueprint's tasks usable, also those that it declares later."""
        if not isinstance(blueprint, Blueprint):
            raise ConfigurationError(f"include() takes a Blueprint, not {blueprint!r}")
        blueprint.include_into(self._include_task)

    def discover(self, module: str) -> list[str]:
        """Import a module and everything below it, and include the blueprints found there; the modules imported.

        ::

            app.discover("shop.jobs")
        """
        found: list[str] = []
        for loaded in import_tree(module):
            found.append(loaded.__name__)
            for value in list(vars(loaded).values()):
                if isinstance(value, Blueprint):
                    self.include(value)
        return found

    def payloads(self) -> Payloads:
        """All tasks as one discriminated union, for other programs that send jobs.

        :raises ConfigurationError: if the app has no tasks yet.
        """
        tasks = self.tasks.tasks
        if self._payloads is None or self._payloads[0] != tasks:
            self._payloads = tasks, Payloads(tasks)
        return self._payloads[1]

    def enqueue_message(self, message: Mapping[str, Any] | str | bytes) -> Job[Any]:
        """Check another program's ``{"task": ..., "args": ...}`` (a dict or JSON text) and store it.

        :raises InvalidArguments: if it names no task or its arguments do not fit; nothing is stored.
        """
        return self._client.enqueue(self._checked_message(message))

    async def aenqueue_message(self, message: Mapping[str, Any] | str | bytes) -> Job[Any]:
        """``enqueue_message`` for async code."""
        return await self._client.aenqueue(self._checked_message(message))

    def _checked_message(self, message: Mapping[str, Any] | str | bytes) -> NewJob[Any]:
        name, arguments = self.payloads().validate(message)
        return BoundTask(self.tasks[name]).new_validated(arguments)

    def enqueue_many(
        self,
        jobs: Iterable[NewJob[Any]],
        *,
        tx: object | None = None,
        chunk: int = 1000,
        progress: Callable[[int], None] | None = None,
    ) -> list[int]:
        """Store many jobs, made by ``task.new(...)``; their ids.

        The iterable is streamed: each chunk is one transaction, so that after an error the chunks before it are
        stored. The next one is made while the store works on the one before. With ``tx`` all chunks join that one
        transaction.

        :param progress: called after each chunk with how many jobs are stored.

        ::

            app.enqueue_many(send_confirmation.new(to=to, order_id=i) for to, i in rows)
        """
        return self._client.enqueue_many(jobs, tx=tx, chunk=chunk, progress=progress)

    async def aenqueue_many(
        self,
        jobs: Iterable[NewJob[Any]] | AsyncIterable[NewJob[Any]],
        *,
        tx: object | None = None,
        chunk: int = 1000,
        progress: Callable[[int], None] | None = None,
    ) -> list[int]:
        """``enqueue_many`` for async code; also takes an async iterable."""
        return await self._client.aenqueue_many(jobs, tx=tx, chunk=chunk, progress=progress)

    def worker(
        self,
        *,
        queues: Iterable[str] | None = None,
        concurrency: int = 10,
        grace: Duration = 25.0,
        until_empty: bool = False,
        lease: Duration = 15.0,
        heartbeat: Duration | None = None,
    ) -> EmbeddedWorker:
        """A worker inside this program: ``with app.worker(): ...`` or ``async with app.worker(): ...``.

        :param queues: which queues it serves; all by default.
        :param concurrency: how many jobs it runs at once.
        :param grace: seconds or ``timedelta`` that running jobs may go on when it stops.
        :param until_empty: it ends when nothing is ready or running any more, which may be before it ran anything:
            enqueue first. It logs how many jobs are left, for a retry or for later.
        :param lease: seconds or ``timedelta`` after its last heartbeat when others take its jobs.
        :param heartbeat: seconds or ``timedelta`` between heartbeats, at most half of the lease; a third by default.
        :raises ConfigurationError: for what no worker can have.
        """
        settings = make_settings(queues, concurrency, grace, until_empty, lease, heartbeat)
        return EmbeddedWorker(self.worker_parts(), settings)

    def run_worker(
        self,
        *,
        queues: Iterable[str] | None = None,
        concurrency: int = 10,
        grace: Duration = 25.0,
        until_empty: bool = False,
        lease: Duration = 15.0,
        heartbeat: Duration | None = None,
        health: Health | None = None,
        on_start: Callable[[Any], None] | None = None,
    ) -> int:
        """Be a worker until a signal or, with ``until_empty``, until nothing is left; the exit code.

        The parameters are those of ``worker``, and:

        :param health: where it shows how it is; nowhere by default.
        :param on_start: called with the worker once it is registered with the store.
        """
        settings = make_settings(queues, concurrency, grace, until_empty, lease, heartbeat)
        return run_worker_process(self.worker_parts(), settings, on_start, health=health)

    def dashboard(
        self,
        *,
        authorize: Callable[[Any, str], Any] | None = None,
        token: str | None = None,
        read_only: bool = False,
        identify: Callable[[Any], str | None] | None = None,
        redact: Iterable[str] | None = None,
        redact_tasks: Iterable[str] = (),
        title: str = "",
    ) -> "Dashboard":
        """The dashboard and the JSON API as an ASGI app, to be mounted in FastAPI, Starlette or Django; its ``wsgi`` is
        the same for Flask. Needs ``turnspit[dashboard]``.

        :param authorize: ``authorize(request, action)``, plain or async: whether this Starlette request may do this. A
            response, as to a sign-in, means no, and is sent to who asks for a page. The actions are ``read``,
            ``enqueue``, ``replay``, ``cancel``, ``delete``, ``edit``, ``run``, ``pause``, ``limit`` and ``worker``;
            without ``read`` nothing is shown.
        :param token: whoever shows it comes in. Default: ``$TURNSPIT_DASHBOARD_TOKEN``. One of the two is needed.
        :param read_only: whether nothing can be changed from there.
        :param identify: the name of whoever sent a request, for the audit.
        :param redact: names of fields as ``*secret*`` whose values are hidden in arguments and results; by default
            those of passwords, tokens, cards and the like.
        :param redact_tasks: names of tasks of which every argument, result, error text and log line is hidden.
        :param title: shown beside the logo; the app's name by default.
        :raises ConfigurationError: if anybody could come in.

        ::

            api.mount("/turnspit", app.dashboard(authorize=lambda request, action: request.user.is_staff))
        """
        try:
            from turnspit.web import make_dashboard  # noqa: PLC0415  (an extra)
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"the dashboard needs {error.name}: pip install 'turnspit[dashboard]'") from error

        return make_dashboard(
            self,
            authorize=authorize,
            token=token,
            read_only=read_only,
            identify=identify,
            redact=redact,
            redact_tasks=redact_tasks,
            title=title,
        )

    def check_alerts(self) -> float:
        """Look for what ``alert`` functions want to hear, as workers do, if it is time; seconds until it is again.

        Workers call it by themselves. Called from a web application's timer or from cron too, somebody looks where no
        worker lives. Outside of an event loop; there, ``acheck_alerts``.
        """
        return asyncio.run(self.acheck_alerts())

    async def acheck_alerts(self) -> float:
        """``check_alerts`` for async code."""
        return await Watcher(self.store.own_engine, self.name, self.alert_rules).run_once()

    def worker_parts(self) -> WorkerParts:
        """What a worker of this app is made of. For the worker."""
        from turnspit import __version__  # noqa: PLC0415  (the package's door imports this module)

        return WorkerParts(
            app=self,
            name=self.name,
            engine=self.store.own_engine,
            tasks=self.tasks,
            bus=self.bus,
            middleware=tuple(self._middleware),
            thread_middleware=tuple(self._thread_middleware),
            alerts=tuple(self.alert_rules),
            lifespans=tuple(self._lifespans) if self._replaced_lifespans is None else self._replaced_lifespans,
            retry=self._retry,
            timeout=self.timeout,
            max_result=self.max_result,
            max_crashes=self._max_crashes,
            history_retention=self._keep_history,
            dead_retention=self._keep_dead,
            version=__version__,
            workflow_writer=WorkflowWriter(lambda: self.store.own_engine, self.tasks, self.max_payload, self.senders),
        )

    @property
    def workflow_writer(self) -> WorkflowWriter:
        """Where the jobs of workflows go. For the worker."""
        return self._client.workflow_writer

    def migrate(self) -> tuple[str, ...]:
        """Bring the store's schema up to date; the names of the migrations applied."""
        return self.engine.migrate()

    async def amigrate(self) -> tuple[str, ...]:
        """``migrate`` for async code."""
        return await asyncio.to_thread(self.migrate)

    def close(self) -> None:
        """Let go of connections and threads; ``with app:`` does so at its end. The app opens the store again when it is
        used.
        """
        self.store.close()

    async def aclose(self) -> None:
        """``close`` for async code, as at the end of ``async with app:``."""
        await asyncio.to_thread(self.close)  # it may wait for a thread that stands in a lock

    def __enter__(self) -> "Turnspit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> "Turnspit":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Turnspit {self.engine.location} {len(self.tasks.tasks)} tasks>"
