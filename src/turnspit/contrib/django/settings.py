"""What a project says in its setting ``TURNSPIT``."""

from collections.abc import Mapping
from dataclasses import dataclass

from django import conf
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from turnspit import Turnspit

__all__ = ["ProjectSettings", "read_settings"]

_KNOWN = {"APP", "DATABASE", "MODULES"}


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """The setting ``TURNSPIT``, checked."""

    app: str
    """The dotted path of the app, as ``shop.jobs.app``."""
    database: str | None
    """The alias of the database that holds the jobs; ``None``: the app's own URL says where they are."""
    modules: tuple[str, ...]
    """The modules of each installed Django app that are imported for their tasks."""

    @property
    def command_line_name(self) -> str:
        """The app as ``turnspit`` names it: ``shop.jobs:app``."""
        return ":".join(self.app.rsplit(".", 1))

    def load_app(self) -> Turnspit:
        """Import the app.

        :raises ImproperlyConfigured: if there is none at that path.
        """
        try:
            app = import_string(self.app)
        except ImportError as error:
            raise ImproperlyConfigured(f"TURNSPIT['APP'] is {self.app!r}, which cannot be imported: {error}") from error
        if not isinstance(app, Turnspit):
            raise ImproperlyConfigured(f"TURNSPIT['APP'] is {self.app!r}, a {type(app).__name__} and not a Turnspit")
        return app


def read_settings() -> ProjectSettings:
    """The project's settings.

    :raises ImproperlyConfigured: if they are missing or cannot be right.
    """
    given = getattr(conf.settings, "TURNSPIT", None)
    if not isinstance(given, Mapping) or not isinstance(given.get("APP"), str):
        raise ImproperlyConfigured(
            "turnspit.contrib.django needs to know the app: TURNSPIT = {'APP': 'shop.jobs.app'} in the settings, "
            "with app = Turnspit() in shop/jobs.py"
        )
    unknown = given.keys() - _KNOWN
    if unknown:
        raise ImproperlyConfigured(
            f"TURNSPIT has no {', '.join(sorted(map(str, unknown)))}; there are {', '.join(sorted(_KNOWN))}"
        )
    database = given.get("DATABASE", "default")
    if database is not None and database not in conf.settings.DATABASES:
        raise ImproperlyConfigured(f"TURNSPIT['DATABASE'] is {database!r}, which is not one of DATABASES")
    return ProjectSettings(given["APP"].replace(":", "."), database, tuple(given.get("MODULES", ("tasks", "jobs"))))
