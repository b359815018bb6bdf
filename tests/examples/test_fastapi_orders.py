"""The example that stores an order and its jobs in one SQLAlchemy transaction, on both engines."""

from pathlib import Path

import httpx
import pytest
from tests.examples.programs import ENVIRONMENT, run, serve
from tests.postgres import new_database

from turnspit import Turnspit

UVICORN = ("-m", "uvicorn", "examples.fastapi_orders.main:api", "--port", "0")
WORKER = ("-m", "turnspit", "worker", "examples.fastapi_orders.main:app", "--until-empty")


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_an_order_and_its_jobs_exist_together_or_not_at_all(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/orders.db"
    if engine == "postgres":
        url = new_database().replace("postgresql://", "postgresql+asyncpg://")
    monkeypatch.setitem(ENVIRONMENT, "SHOP_DATABASE", url)
    with serve(tmp_path, *UVICORN) as server, Turnspit(url) as store:
        refused = httpx.post(f"{server}/orders", json={"email": "bob@example.com", "item": "unicorn"})
        assert (refused.status_code, store.jobs.count()) == (409, 0)
        placed = httpx.post(f"{server}/orders", json={"email": "ada@example.com", "item": "kettle"})
        assert placed.status_code == 201, placed.text
        order = placed.json()["id"]
        assert sorted(job.id for job in store.jobs.list()) == placed.json()["jobs"]
        worker = run(tmp_path, *WORKER)
        assert worker.returncode == 0, worker.stderr
        assert store.jobs.count(state="completed") == 2
        shown = httpx.get(f"{server}/orders/{order}").json()
    assert shown == {"id": order, "email": "ada@example.com", "item": "kettle", "confirmed": True}
