"""A store's database, as Django's settings name it."""

from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tests.postgres import server_url


def django_database(url: str) -> dict[str, Any]:
    """The entry of ``DATABASES`` for the database in which a store is."""
    if url.startswith("sqlite"):
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": url.removeprefix("sqlite:///"),
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
        }
    parts = conninfo_to_dict(server_url(url))
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    return {"ENGINE": "django.db.backends.postgresql"} | {key: parts.get(name, "") for key, name in names.items()}
