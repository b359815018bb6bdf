"""``durability="full"`` holds where the server's role or database says ``synchronous_commit=off``."""

from urllib.parse import quote

import pytest

from tests.postgres import VERSIONS, new_schema
from turnspit import Turnspit
from turnspit.contract.verbs import Statement, Verb


def ask() -> Verb[str]:
    [(setting,)] = yield Statement("SELECT current_setting('synchronous_commit')", {})
    return str(setting)


@pytest.mark.parametrize("poll_only", ["false", "true"])
def test_a_commit_waits_for_the_disk_whatever_the_default(poll_only: str) -> None:
    found = {}
    with new_schema(VERSIONS[-1]) as url:
        for default in ("off", "remote_apply"):
            options = quote(f"-c synchronous_commit={default}")
            with Turnspit(f"{url}&options={options}&poll_only={poll_only}") as app:
                found[default] = app.engine.write(ask)
    assert found == {"off": "on", "remote_apply": "remote_apply"}
