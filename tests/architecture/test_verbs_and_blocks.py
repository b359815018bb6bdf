"""One word finds every hop: a contract verb, its engine method and its named SQL block share a name."""

import inspect
import re
from pathlib import Path

import pytest

from turnspit.contract.alerts import Alerts
from turnspit.contract.control import Control
from turnspit.contract.figures import Figures
from turnspit.contract.jobs import Jobs
from turnspit.contract.leases import Leases
from turnspit.contract.limits import Limits
from turnspit.contract.moves import Moves
from turnspit.contract.pauses import Pauses
from turnspit.contract.queries import Queries
from turnspit.contract.schedules import Schedules
from turnspit.contract.uniqueness import Uniqueness
from turnspit.contract.workflows import Workflows
from turnspit.engines.postgres import PostgresEngine
from turnspit.engines.sqlite import SqliteEngine

SOURCE = Path(__file__).parents[2] / "src" / "turnspit"
ENGINES = {"sqlite": SqliteEngine, "postgres": PostgresEngine}
NOUNS = {
    "jobs": Jobs,
    "control": Control,
    "queries": Queries,
    "figures": Figures,
    "leases": Leases,
    "limits": Limits,
    "uniqueness": Uniqueness,
    "pauses": Pauses,
    "alerts": Alerts,
    "moves": Moves,
    "schedules": Schedules,
    "workflows": Workflows,
}
BY_ANOTHER_VERB = {
    ("get_job", "sqlite"),  # the same rows as list_jobs, with one id
    ("get_job", "postgres"),
    ("insert_job_at_once", "sqlite"),  # no way is faster than insert_job
    ("claim_jobs_at_once", "sqlite"),  # as claim_jobs: there are no round trips to save
    ("finish_jobs_at_once", "sqlite"),
    ("find_holder", "sqlite"),  # the first blocks of insert_job
    ("find_holder", "postgres"),
}
NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def verbs(noun: str) -> list[str]:
    return [name for name, _ in inspect.getmembers(NOUNS[noun], inspect.isfunction) if not name.startswith("_")]


def blocks(engine: str, noun: str) -> list[str]:
    return NAME.findall((SOURCE / "engines" / engine / "sql" / f"{noun}.sql").read_text())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("noun", NOUNS)
def test_every_verb_has_a_block_of_its_name_and_an_engine_method(engine: str, noun: str) -> None:
    names = blocks(engine, noun)
    for verb in verbs(noun):
        if (verb, engine) in BY_ANOTHER_VERB:
            continue
        assert any(name == verb or name.startswith(verb + "_") for name in names), f"{verb} has no block in {noun}.sql"
        assert inspect.isgeneratorfunction(getattr(ENGINES[engine], verb))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("noun", NOUNS)
def test_every_block_is_used(engine: str, noun: str) -> None:
    folders = (SOURCE / "engines" / engine, SOURCE / "engines" / "verbs")
    code = "".join(path.read_text() for folder in folders for path in folder.glob("*.py"))
    unused = [name for name in blocks(engine, noun) if f'"{name}"' not in code]
    assert unused == []


@pytest.mark.parametrize("noun", NOUNS)
def test_every_verb_says_what_it_promises(noun: str) -> None:
    for verb in verbs(noun):
        assert inspect.getdoc(getattr(NOUNS[noun], verb)), f"{verb} has no docstring"
