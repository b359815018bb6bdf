"""What a worker shows of itself, over HTTP and as a file, also while it is stuck."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.support import wait_until
from tests.cli.gate import Gate
from tests.faults.fleet import Fleet, ask, make_app, write_app
from turnspit import ConfigurationError, EngineUnavailable, Health, Turnspit

pytestmark = pytest.mark.on_sqlite

FINE = (200, {"live": True, "ready": True, "problems": []})


@pytest.fixture
def app(store_url: str) -> Iterator[Turnspit]:
    with make_app(store_url) as app:
        yield app


@pytest.mark.parametrize("several", [(), ("--processes", "2")], ids=["a worker", "a supervisor"])
def test_a_blocked_loop_is_not_live_and_said_all_the_same(
    app: Turnspit, folder: Path, store_url: str, several: tuple[str, ...]
) -> None:
    job = app.tasks["block"].enqueue(gate=f"{folder}/gate")
    file = folder / "health"
    options = [*several, "--health-port", "0", "--health-file", str(file), "--max-lag", "500ms"]
    with Gate(folder) as gate, Fleet(write_app(folder, store_url), *options) as fleet:
        gate.wait_for_job()
        address = fleet.address
        wait_until(lambda: ask(address, "/livez")[0] == 503, "not live")
        code, said = ask(address, "/readyz")
        assert (code, said["live"], said["ready"]) == (503, False, False)
        assert "event loop has been blocked for" in str(said["problems"])
        touched = file.stat().st_mtime
        assert json.loads(file.read_text())["live"] is True, "it is not written while it is not live"
        gate.open()
        wait_until(lambda: ask(address, "/readyz") == FINE, "ready")
        wait_until(lambda: file.stat().st_mtime > touched, "written again")
        assert job.get_result(timeout=20) is None
        assert ask(address, "/else")[0] == 404
        fleet.signal(signal.SIGTERM)
        fleet.end()
    assert not file.exists()


def test_hung_threads_in_every_slot_make_a_worker_not_ready_and_then_not_live(
    app: Turnspit, folder: Path, store_url: str
) -> None:
    """A free slot is worth waiting for; without one, only the end of the process brings work back."""
    options = ["--concurrency", "1", "--health-port", "0", "--max-lag", "1s"]
    with Gate(folder) as gate, Fleet(write_app(folder, store_url), *options) as fleet:
        wait_until(lambda: ask(fleet.address, "/readyz") == FINE, "ready")
        app.tasks["hang"].enqueue(gate=f"{folder}/gate")
        gate.wait_for_job()
        wait_until(lambda: ask(fleet.address, "/readyz")[0] == 503, "not ready")
        wait_until(lambda: ask(fleet.address, "/livez")[0] == 503, "not live")
        code, said = ask(fleet.address, "/livez")
        assert (code, said["live"], said["ready"]) == (503, False, False)
        assert "all its slots are taken by jobs that were told to stop and do not end" in str(said["problems"])
        gate.open()
        wait_until(lambda: ask(fleet.address, "/readyz") == FINE, "ready again")
        fleet.signal(signal.SIGTERM)
        fleet.end()


def test_a_supervisor_of_hung_threads_is_live_and_ready_again_when_it_has_replaced_their_process(
    app: Turnspit, folder: Path, store_url: str
) -> None:
    """Whoever restarted all would only interrupt what the other processes run."""
    options = ["--processes", "2", "--concurrency", "1", "--health-port", "0", "--max-lag", "1s"]
    said = []

    def asked() -> tuple[int, dict[str, object]]:
        said.append(ask(fleet.address, "/livez"))
        return ask(fleet.address, "/readyz")

    with Gate(folder) as gate, Fleet(write_app(folder, store_url), *options) as fleet:
        wait_until(lambda: ask(fleet.address, "/readyz") == FINE, "ready")
        app.tasks["hang"].enqueue(gate=f"{folder}/gate")
        gate.wait_for_job()
        wait_until(lambda: asked()[0] == 503, "not ready")
        wait_until(lambda: asked() == FINE, "ready again")
        assert "all its slots are taken by jobs that were told to stop and do not end" in str(said)
        assert {code for code, _ in said} == {200}
        gate.open()
        fleet.signal(signal.SIGTERM)
        fleet.end()


def test_a_worker_whose_store_is_away_is_live_but_not_ready(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replacing it would bring no store back."""
    write, is_away = app.engine.write_apart, True

    def fails(verb: object, *arguments: object) -> object:
        if is_away:
            raise EngineUnavailable("nobody answers")
        return write(verb, *arguments)  # type: ignore[arg-type]

    with app.worker(lease=0.6, heartbeat=0.1) as embedded:
        worker = embedded._worker
        assert worker is not None
        assert worker.troubles() == ()
        monkeypatch.setattr(app.engine, "write_apart", fails)
        wait_until(lambda: worker.troubles() == ("the store takes no heartbeat: nobody answers",), "not ready")
        wait_until(lambda: "its lease has run out: the store took no heartbeat" in str(worker.troubles()), "lapsed")
        is_away = False
        wait_until(lambda: worker.troubles() == (), "ready again")


def test_a_worker_that_drains_is_not_ready(app: Turnspit, folder: Path, store_url: str) -> None:
    app.tasks["hold"].enqueue(gate=f"{folder}/gate")
    with Gate(folder) as gate, Fleet(write_app(folder, store_url), "--health-port", "0") as fleet:
        gate.wait_for_job()
        gate.last().recv(20)
        wait_until(lambda: ask(fleet.address, "/readyz") == FINE, "ready")
        fleet.signal(signal.SIGTERM)
        fleet.hear("stopping; running jobs (1)")
        assert ask(fleet.address, "/livez")[0] == 200
        assert ask(fleet.address, "/readyz") == (503, {"live": True, "ready": False, "problems": ["it is stopping"]})
        gate.open()
        fleet.end()


def test_a_suspended_process_is_missed_by_its_supervisor(folder: Path, store_url: str) -> None:
    options = ["--processes", "2", "--health-port", "0", "--max-lag", "500ms"]
    with Fleet(write_app(folder, store_url), *options) as fleet:
        wait_until(lambda: ask(fleet.address, "/readyz") == FINE, "ready")  # both have said that they began
        first = fleet.children()[0]
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: "process 1 has said nothing for" in str(ask(fleet.address, "/livez")), "missed")
        os.kill(first, signal.SIGCONT)
        wait_until(lambda: ask(fleet.address, "/readyz") == FINE, "there again")
        fleet.signal(signal.SIGTERM)
        fleet.end()


def test_a_port_that_is_taken_and_a_file_that_cannot_be(app: Turnspit, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as raised:
            app.run_worker(health=Health(port=port))
    assert str(raised.value) == f"health cannot be shown on 127.0.0.1, port {port}: Address already in use"
    with pytest.raises(ConfigurationError) as raised:
        app.run_worker(health=Health(folder / "none" / "health"))
    assert str(raised.value) == f"the health file {folder}/none/health cannot be written: No such file or directory"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "a health port is a whole number of at most 65535, not 70000"),
        ({"port": "80"}, "a health port is a whole number of at most 65535, not '80'"),
        ({"max_lag": 0}, "max_lag is more than 0 seconds: an event loop is always a little late"),
    ],
)
def test_health_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Health(**options)  # type: ignore[arg-type]
    assert str(raised.value) == message
