"""A Python whose SQLite lacks what Turnspit's SQL needs says so before anything is stored."""

import sqlite3
from pathlib import Path

import pytest

from turnspit import Turnspit
from turnspit.engines.sqlite import schema
from turnspit.errors import StoreRefused

pytestmark = pytest.mark.on_sqlite


def test_a_library_that_is_too_old(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(schema, "_OLDEST", (99, 0))
    app = Turnspit(f"sqlite:///{folder}/shop.db")

    @app.task
    def send() -> None: ...

    refusal = f"this Python comes with SQLite {sqlite3.sqlite_version}, and Turnspit needs 3.38 or newer"
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("BEGIN")
        for enqueue in (send.enqueue, app.migrate, send.using(tx=connection).enqueue):
            with pytest.raises(StoreRefused, match=refusal):
                enqueue()
    findings = {subject: (is_well, said) for subject, is_well, said in app.engine.diagnose()}
    assert findings["version"] == (False, f"SQLite {sqlite3.sqlite_version}: Turnspit needs 3.38 or newer")
    app.close()
