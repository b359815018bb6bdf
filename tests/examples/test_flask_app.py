"""The Flask example: enqueued over HTTP, run by a worker process in the application's context."""

from pathlib import Path

import httpx
from tests.examples.programs import run, serve

FLASK = ("-m", "flask", "--app", "examples.flask_app.shop", "run", "--port", "0")
WORKER = ("-m", "flask", "--app", "examples.flask_app.shop", "turnspit", "worker", "--until-empty")


def test_a_plain_task_sees_the_application_in_its_thread(tmp_path: Path) -> None:
    with serve(tmp_path, *FLASK) as url:
        ordered = httpx.post(f"{url}/greetings/Ada")
        assert ordered.status_code == 202
        assert ordered.json() == {"id": 1, "state": "ready"}
        worker = run(tmp_path, *WORKER)
        assert worker.returncode == 0, worker.stderr
        shown = httpx.get(f"{url}/greetings/1")
        missing = httpx.get(f"{url}/greetings/7")
    assert shown.json() == {"id": 1, "state": "completed", "result": "Good day, Ada"}
    assert missing.status_code == 404
