"""What has been kept long enough, and a store that lets some of it go only."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.behaviour.support import wait_until
from turnspit import Turnspit
from turnspit.errors import EngineError

PRUNES = ("prune_jobs", "prune_keys", "prune_limits", "prune_workflows")


@pytest.mark.parametrize("refused", PRUNES)
def test_what_cannot_be_pruned_is_said_and_tried_again_and_keeps_nothing_else(
    app: Turnspit, refused: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the worker's user may not drop a partition."""
    counts: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., Any]:
        verb = getattr(app.engine, name)

        def prune(*arguments: Any) -> Any:
            counts[name] += 1
            if name == refused:
                raise EngineError("this user lacks a privilege")
            return verb(*arguments)

        return prune

    for name in PRUNES:
        monkeypatch.setattr(app.engine, name, counted(name))
    with app.worker():
        wait_until(lambda: counts[refused] >= 2 and len(counts) == len(PRUNES), "another try, and the others")
    kind = refused.removeprefix("prune_")
    assert f"(pruner of {kind}): this user lacks a privilege; trying again in" in caplog.text
    assert caplog.text.count("(pruner of ") == caplog.text.count(f"(pruner of {kind})"), "nothing is said of the others"
