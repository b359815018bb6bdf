"""The settings of a store's URL: where the database is, and how this engine uses it."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from turnspit.errors import ConfigurationError

__all__ = ["Settings", "check_schema", "parse_url"]

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_TRUE = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
_KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 8000}
"""A half-open connection is noticed in eight to eleven seconds, below a worker's lease of fifteen."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How connections are made."""

    conninfo: dict[str, Any]
    location: str
    schema: str
    poll_only: bool
    synchronous: bool

    @property
    def channel(self) -> str:
        """The channel of this store's notifications."""
        return f"turnspit_{self.schema}"


def parse_url(url: str, *, durability: str, schema: str | None, poll_only: bool | None) -> Settings:
    """The settings of ``postgresql://user:password@host:5432/database?schema=jobs&poll_only=true``.

    :raises ConfigurationError: if the URL cannot be understood.
    """
    if durability not in ("full", "relaxed"):
        raise ConfigurationError(f'durability is "full" or "relaxed", not {durability!r}')
    parts = _split(url)
    _refuse_raw_characters(parts)
    options = dict(parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True))  # to libpq it is no space
    if "ssl" in options:  # asyncpg's word
        options["sslmode"] = options.pop("ssl")
    schema = check_schema(options.pop("schema", "") or schema or "turnspit")
    asked = options.pop("poll_only", None)
    if asked is not None:
        if asked.lower() not in _TRUE:
            raise ConfigurationError(f"poll_only in a URL is true or false, not {asked!r}")
        poll_only = _TRUE[asked.lower()]
    # Not urlunsplit: without a host it leaves out two slashes that libpq wants.
    plain = f"postgresql://{parts.place}{parts.path}?{urlencode(options, quote_via=quote)}"
    try:
        conninfo = conninfo_to_dict(plain)
    except psycopg.ProgrammingError as error:
        reason = str(error).strip().replace(parts.password or "\0", "***")
        raise ConfigurationError(f"the store's URL is not one that PostgreSQL knows: {reason}") from None
    return Settings(
        conninfo=_with_defaults(conninfo),
        location=_location(conninfo, schema),
        schema=schema,
        poll_only=bool(poll_only),
        synchronous=durability == "full",
    )


class _Parts(NamedTuple):
    place: str
    """User, password and hosts."""
    path: str
    query: str
    fragment: str

    @property
    def password(self) -> str:
        return self.place.rpartition("@")[0].partition(":")[2]


def _split(url: str) -> _Parts:
    """Not by ``urlsplit``, which refuses lists of IPv6 hosts and ``[`` in a password, and shows the password then."""
    rest, _, fragment = url.strip().partition("://")[2].partition("#")
    rest, _, query = rest.partition("?")
    place, slash, path = rest.partition("/")
    return _Parts(place, slash + path, query, fragment)


def _refuse_raw_characters(parts: _Parts) -> None:
    """A raw ``/`` in a password would end the host, and what follows would be shown as the name of the database."""
    strays = [parts.path, *(pair.partition("=")[0] for pair in parts.query.split("&"))]
    if parts.fragment or parts.place.count("@") > 1 or any("@" in stray for stray in strays):
        raise ConfigurationError(
            "the store's URL has a raw @, /, ? or # in its user, password or database: write them as %40, %2F, %3F and "
            "%23, as urllib.parse.quote(password, safe='') does"
        )


def check_schema(name: str) -> str:
    """The name of a schema, if it can be written without quotes.

    :raises ConfigurationError: if it cannot.
    """
    if not _SCHEMA.fullmatch(name):
        raise ConfigurationError(f"schema is a name of at most 40 small letters, digits and underscores, not {name!r}")
    return name


def _with_defaults(conninfo: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"connect_timeout": 5, "application_name": "turnspit", **_KEEPALIVES}
    if "," in str(conninfo.get("host") or ""):
        defaults["target_session_attrs"] = "read-write"  # of several hosts, a standby is of no use
    return defaults | conninfo


def _location(conninfo: dict[str, Any], schema: str) -> str:
    user, hosts, ports = (str(conninfo.get(name) or "") for name in ("user", "host", "port"))
    database = conninfo.get("dbname") or user
    place = (f"{user}@" if user else "") + ",".join(_places(hosts.split(","), ports.split(",")))
    return f"postgresql://{place}/{database}" + (f" (schema {schema})" if schema != "turnspit" else "")


def _places(hosts: list[str], ports: list[str]) -> list[str]:
    """Each host with its port; a single port is that of all hosts."""
    if len(ports) < len(hosts):
        ports = ports * len(hosts)
    named = [f"[{host}]" if ":" in host else host or "localhost" for host in hosts]
    return [host + (f":{port}" if port else "") for host, port in zip(named, ports, strict=False)]
