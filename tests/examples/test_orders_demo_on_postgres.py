"""``make demo STORE=postgres``: the same shop on a private server, which is gone afterwards; the same proof."""

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from tests.examples.programs import ENVIRONMENT, ROOT, run

PRIVATE = ("-m", "examples.private_postgres", sys.executable)


@pytest.mark.slow
def test_the_demo_ends_with_the_same_proof(tmp_path: Path) -> None:
    answer = run(tmp_path, *PRIVATE, "-m", "examples.orders.demo", "--orders", "40", "--lease", "2")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    expected = [
        r"store postgresql://postgres@127\.0\.0\.1:\d+/postgres · 2 workers · mail to localhost:\d+",
        r"\d\d:\d\d   worker (\d+) killed with \d+ jobs running",
        r"✔ 39 orders confirmed, 0 lost, [1-9] e-mails? repeated \(killed between sending .*; same Message-ID\)",
        r"✔ 39 invoices written, 39 payments taken, 0 twice, \d+ failed attempts tried again",
        r"✔ 39 parcels sent, 0 twice, each step after those before it; the carrier refused 0, and the daily .*",
        r"✔ (\d+) of \1 jobs of the killed worker \d+ finished by worker \d+",
        r"✔ job 186 was dead \(card declined\); replayed, and its order went on",
    ]
    for line in expected:
        assert re.search(f"^{line}$", answer.stdout, re.MULTILINE), f"no line like {line!r} in:\n{answer.stdout}"
    assert not (tmp_path / "demo" / "shop.db").exists()
    again = run(tmp_path, "-m", "examples.orders.promises")
    assert (again.returncode, again.stderr) == (2, "./demo is of a demo on PostgreSQL, whose store ended with it\n")


def test_a_private_server_lives_as_long_as_its_command(tmp_path: Path) -> None:
    look = "import os, psycopg; url = os.environ['DEMO_STORE']; psycopg.connect(url).close(); print(url); exit(3)"
    answer = run(tmp_path, *PRIVATE, "-c", look)
    assert answer.returncode == 3, answer.stderr
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(answer.stdout.strip())


def test_what_make_says_of_stores() -> None:
    def make(store: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "--dry-run", "demo", f"STORE={store}"]
        return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    assert "-m examples.private_postgres .venv/bin/python -m examples.orders.demo" in make("postgres").stdout
    assert "STORE is sqlite or postgres" in make("oracle").stderr
