"""The Django app: finds the ``Turnspit``, tells it its database, imports the tasks, and looks after connections."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import AppConfig, apps
from django.core.checks import register
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.signals import connection_created
from django.utils.module_loading import module_has_submodule

from turnspit import JobContext, Turnspit
from turnspit._runtime.worker.processes import prepare_processes
from turnspit.contrib.django.checks import check_transaction_mode
from turnspit.contrib.django.child_processes import name_databases_of_tests
from turnspit.contrib.django.database import (
    DjangoTransactions,
    remove_logs_of_tests,
    url_of,
    use_file_in_tests,
    use_files_of_clones,
)
from turnspit.contrib.django.declared_tasks import blueprint, listeners
from turnspit.contrib.django.lending import alent, close_old_connections, connections_of_test, lent, watch_connections
from turnspit.contrib.django.settings import read_settings

__all__ = ["TurnspitConfig"]


class TurnspitConfig(AppConfig):
    """``"turnspit.contrib.django"`` in ``INSTALLED_APPS``."""

    name = "turnspit.contrib.django"
    label = "turnspit"
    verbose_name = "Turnspit"

    def ready(self) -> None:
        """Connect the app with the project, once all models are loaded."""
        register(check_transaction_mode)
        settings = read_settings()
        app = settings.load_app()
        if settings.database is not None:
            use_file_in_tests(settings.database)
            remove_logs_of_tests(settings.database)
            _keep_jobs_in(app, settings.database)
        for config in apps.get_app_configs():
            for name in settings.modules:
                if config is not self and module_has_submodule(config.module, name):
                    app.discover(f"{config.name}.{name}")
        app.include(blueprint)
        for listener in listeners:
            app.on("completed", "cancelled", "dead")(listener)
        _look_after_connections(app)
        prepare_processes(app, "turnspit.contrib.django.child_processes:set_up")


def _keep_jobs_in(app: Turnspit, alias: str) -> None:
    """Keep the jobs in a Django database, and follow it when tests put another one in its place."""
    configured = url_of(alias)
    app.configure(configured)
    app.join(DjangoTransactions(alias))

    def follow(connection: Any, **_: object) -> None:
        nonlocal configured
        if connection.alias == NO_DB_ALIAS:
            app.close()  # a test database is about to be made, copied or dropped: PostgreSQL wants no connection to it
            return
        if connection.alias != alias:
            return
        use_files_of_clones(connection)
        if (url := url_of(alias)) != configured:
            app.configure(url)
            configured = url

    connection_created.connect(follow, weak=False)


def _look_after_connections(app: Turnspit) -> None:
    """As Django does around a request: a connection that is broken or too old is not used for the next job.

    Jobs that a ``TestCase`` runs use its connections.
    """
    watch_connections()

    @app.middleware
    def in_the_threads(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        close_old_connections()
        try:
            with lent(connections_of_test()):
                return call_next(job)
        finally:
            close_old_connections()

    @app.middleware
    async def on_the_loop(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        task = app.tasks[job.task]
        if task.isolate:
            name_databases_of_tests()
        if not task.is_async:
            return await call_next(job)
        of_test = connections_of_test()
        close = sync_to_async(close_old_connections)
        await close()
        try:
            async with alent(of_test):
                return await call_next(job)
        finally:
            await close()
