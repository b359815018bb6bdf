"""The FastAPI example, over HTTP."""

from pathlib import Path

import httpx
from tests.examples.programs import serve

from turnspit import Turnspit

UVICORN = ("-m", "uvicorn", "examples.fastapi_app.main:api", "--port", "0")


def test_a_report_is_enqueued_worked_off_and_shown(tmp_path: Path) -> None:
    with serve(tmp_path, *UVICORN) as url:
        ordered = httpx.post(f"{url}/reports", params={"month": "2026-02"})
        assert ordered.status_code == 202
        with Turnspit(f"sqlite:///{tmp_path}/reports.db") as store:
            store.jobs.get(ordered.json()["id"]).get_result(timeout=10)
        shown = httpx.get(f"{url}/reports/{ordered.json()['id']}")
    assert shown.json() == {
        "id": ordered.json()["id"],
        "state": "completed",
        "progress": 0.5,
        "report": {"month": "2026-02", "pages": 12},
    }


def test_a_job_that_does_not_exist_is_404_and_a_wrong_month_422(tmp_path: Path) -> None:
    with serve(tmp_path, *UVICORN) as url:
        missing = httpx.get(f"{url}/reports/7")
        wrong = httpx.post(f"{url}/reports", params={"month": "February"})
    assert missing.status_code == 404
    assert missing.json() == {
        "detail": "there is no job 7: it never existed, its transaction has not committed, or it was deleted or pruned"
    }
    assert wrong.status_code == 422
    with Turnspit(f"sqlite:///{tmp_path}/reports.db") as store:
        assert store.jobs.count() == 0
