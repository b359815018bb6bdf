"""A URL as SQLAlchemy writes it names the same store."""

import pytest

from tests.behaviour.support import url_of
from turnspit import Turnspit

DIALECTS = {
    "sqlite": ["sqlite+pysqlite", "sqlite+aiosqlite"],
    "postgresql": ["postgres", "postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg2"],
}


def test_every_dialect_of_sqlalchemy_leads_to_the_same_jobs(app: Turnspit) -> None:
    @app.task
    def send() -> None: ...

    job = send.enqueue()
    scheme, _, rest = url_of(app).partition("://")
    for dialect in DIALECTS[scheme]:
        with Turnspit(f"{dialect}://{rest}") as same:
            assert same.jobs.get(job.id).task == "send"


@pytest.mark.parametrize("option", ["ssl=disable", "sslmode=disable"])
def test_asyncpgs_word_for_sslmode_is_understood(option: str) -> None:
    assert Turnspit(f"postgresql+asyncpg://db/shop?{option}").engine.location == "postgresql://db/shop"
