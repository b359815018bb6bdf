"""What the soak takes for a fault of Turnspit's, and what not."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from soak.fleet import Fleet
from soak.stores import SqliteStore


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_worker_may_die_of_a_signal_only_before_it_has_begun(has_begun: bool, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    process.terminate()
    process.wait()
    (tmp_path / f"{process.pid}.ledger").write_text("worker 1\n" if has_begun else "")
    fleet = Fleet(SqliteStore(tmp_path), tmp_path, workers=0, rate=1.0, dice=Random(7))
    fleet.note_stop("worker 1", process)
    fleet.stop()
    assert fleet.failed_starts == (0 if has_begun else 1)
    assert fleet.unexpected == (["worker 1 ended with -15 after SIGTERM"] if has_begun else [])
