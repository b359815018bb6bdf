"""An app seen from every side."""

from pathlib import Path

from tests.examples.programs import ROOT, run

SAID = """\
shipping order 7 · job 1 (ship), attempt 1
shipping order 13 · job 2 (ship), attempt 1
turnspit_jobs_completed_total 1.0
turnspit_jobs_dead_total 1.0
6 spans in 1 trace: checkout, enqueue ship, print label, process ship
"""


def test_it_shows_what_was_seen(tmp_path: Path) -> None:
    answer = run(tmp_path, str(ROOT / "examples" / "observed.py"))
    assert (answer.returncode, answer.stdout) == (0, SAID), answer.stderr
