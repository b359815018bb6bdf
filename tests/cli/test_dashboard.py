"""``turnspit dashboard``: what it serves, and to whom it refuses to open."""

import re
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Start


def test_beyond_this_machine_it_needs_a_token(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("enqueue", "shop.py", "make_invoice", "order_id=7")
    monkeypatch.delenv("TURNSPIT_DASHBOARD_TOKEN", raising=False)
    answer = cli("dashboard", "shop.py", "--host", "0.0.0.0", "--port", "0")
    assert answer.code == 2
    assert "0.0.0.0 can be reached from elsewhere: give --token" in answer.err
    answer = cli("dashboard", "shop.py", "--token", "short", "--port", "0")
    assert (answer.code, "at least 16 characters" in answer.err) == (2, True)


def test_a_store_that_is_not_there_is_not_made(cli: Cli, folder: Path) -> None:
    answer = cli("dashboard", f"sqlite:///{folder}/none.db", "--port", "0")
    assert (answer.code, "there are no jobs at" in answer.err) == (2, True)
    assert not (folder / "none.db").exists()


def test_a_port_that_is_taken(cli: Cli) -> None:
    cli("enqueue", "shop.py", "make_invoice", "order_id=7")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = cli("dashboard", "shop.py", "--port", str(taken.getsockname()[1]))
    assert (answer.code, "cannot listen on 127.0.0.1" in answer.err) == (1, True)
    assert answer.err.endswith("; give another with --port\n")


@pytest.mark.parametrize(("name", "named"), [("shop.py", "shop.py"), ("sqlite:///shop.db", "APP")])
def test_it_serves_until_a_signal(cli: Cli, start: Start, name: str, named: str) -> None:
    """What is copied names the app; a store's URL enqueues nothing, and may have a password."""
    cli("enqueue", "shop.py", "make_invoice", "order_id=7")
    process = start("dashboard", name, "--port", "0", "--read-only")
    assert process.stderr is not None
    banner = process.stderr.readline() + process.stderr.readline()
    found = re.search(r"http://127.0.0.1:\d+/", banner)
    assert found, banner
    with urllib.request.urlopen(found[0], timeout=20) as answer:
        page = answer.read().decode()
    assert "No worker is running, and 1 job waits" in page
    assert f"turnspit worker {named}<" in page
    with urllib.request.urlopen(f"{found[0]}jobs/1", timeout=20) as answer:
        assert f"turnspit enqueue {named} make_invoice" in answer.read().decode()
    request = urllib.request.Request(f"{found[0]}jobs/1/cancel", data=b"", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(request, timeout=20)
    refused.value.close()
    process.terminate()
    assert process.wait(20) == 0
