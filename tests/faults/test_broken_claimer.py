"""A worker whose loop with the store has a fault of its own does not live on as a shell that holds a lease."""

import logging
from pathlib import Path

import pytest

from turnspit import Turnspit
from turnspit._runtime.worker.claimer import Claimer


def test_a_worker_without_its_claimer_says_so_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Claimer) -> None:
        raise RuntimeError("a fault in the claimer")

    monkeypatch.setattr(Claimer, "_request", broken)
    app = Turnspit(f"sqlite:///{tmp_path / 'store.db'}")
    with caplog.at_level(logging.CRITICAL, logger="turnspit"), app.worker() as worker:
        worker.wait()
    [record] = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert "stops: its loop with the store failed" in record.getMessage()
    assert record.exc_info is not None
    assert "a fault in the claimer" in str(record.exc_info[1])
    app.close()
