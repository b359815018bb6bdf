"""What may stand in the URL of a store on PostgreSQL."""

from urllib.parse import quote

import pytest

from turnspit import Turnspit
from turnspit.engines import open_engine
from turnspit.errors import ConfigurationError


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
        ("db1,[::1],[::2]/shop", "db1,[::1],[::2]/shop"),
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


@pytest.mark.parametrize("password", ["hu@sh", "hu/sh", "hu?sh", "hu#sh", "@", "/"])
def test_a_password_with_raw_characters_is_told_and_not_shown(password: str) -> None:
    with pytest.raises(ConfigurationError, match="write them as %40, %2F, %3F and %23") as raised:
        Turnspit(f"postgresql://ada:{password}@db/shop?schema=jobs")
    assert "hu" not in str(raised.value)
    settings = Turnspit(f"postgresql://ada:{quote(password, safe='')}@db/shop?user=a@b").engine.settings  # type: ignore[attr-defined]
    assert (settings.conninfo["password"], settings.conninfo["host"]) == (password, "db")


@pytest.mark.parametrize("password", ["hu[sh", "hu]sh", "hu[sh]", "hu\N{ACCOUNT OF}sh"])
def test_any_other_character_may_be_in_a_password(password: str) -> None:
    """Python's own parser takes a bracket for an IPv6 address, and shows a password that it refuses."""
    engine = Turnspit(f"postgresql://ada:{password}@db/shop").engine
    assert engine.settings.conninfo["password"] == password  # type: ignore[attr-defined]


def test_a_plus_behind_the_question_mark_is_a_plus() -> None:
    """As libpq reads it, and not a space as in a form of the web: the password was a wrong one."""
    engine = Turnspit("postgresql://db/shop?user=ada+jobs&password=hu+s%20h&options=-c%20timezone=Etc/GMT+3").engine
    conninfo = engine.settings.conninfo  # type: ignore[attr-defined]
    assert (conninfo["user"], conninfo["password"]) == ("ada+jobs", "hu+s h")
    assert conninfo["options"] == "-c timezone=Etc/GMT+3"
