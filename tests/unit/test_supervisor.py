"""How a supervisor waits between starts, and what it says of an end."""

import logging
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from turnspit._runtime import supervisor as supervisor_module
from turnspit._runtime.children import Status, describe_exit
from turnspit._runtime.memory import memory_of
from turnspit._runtime.supervisor import Slot, Supervisor, SupervisorSettings
from turnspit.clock import monotonic
from turnspit.errors import ConfigurationError


def test_the_first_start_again_is_at_once_and_later_ones_slower_and_slower() -> None:
    slot = Slot(1)
    pauses = [slot.count_failure(1.0) for _ in range(12)]
    assert pauses[0] == 0
    for number, longest in enumerate([0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30], 1):
        assert longest / 2 <= pauses[number] <= longest
    assert slot.is_failing
    assert slot.count_failure(10.0) == 0, "it had worked well for a while"
    assert not slot.is_failing


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-63, "was killed by signal 63"),
    ],
)
def test_how_a_process_ended(code: int, said: str) -> None:
    assert describe_exit(code) == said


def test_nobody_has_memory_who_is_not_there() -> None:
    assert memory_of(2**22 + 1) is None


def test_there_is_none_on_windows_and_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigurationError, match=r"which Windows is not: start `turnspit worker` several times there"):
        Supervisor(SupervisorSettings(processes=2, grace=1.0), lambda slot, line: [])


HANGS_ONCE = """
import json, os, signal, sys
first, line = sys.argv[1:]
if os.path.exists(first):
    os.write(int(line), b'{"over": true}\\n')
    sys.exit()
open(first, "w").close()
said = {"worker": 1, "jobs": 0, "live": True, "ready": True, "is_hung": False, "problems": [], "declared": []}
os.write(int(line), json.dumps(said).encode() + b"\\n")
signal.pause()
"""


def test_a_process_that_says_nothing_any_more_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It hangs with all its threads: nothing but its end would ever make room for another one."""
    monkeypatch.setattr(supervisor_module, "_LEAST_SILENCE", 0.2)
    monkeypatch.setattr(supervisor_module, "_LOOK", 0.05)
    caplog.set_level(logging.INFO, "turnspit")
    settings = SupervisorSettings(processes=1, grace=1.0, lease=0.05, until_empty=True)
    command = [sys.executable, "-S", "-c", HANGS_ONCE, str(tmp_path / "first")]
    assert Supervisor(settings, lambda slot, line: [*command, str(line)]).run() == 0
    said = [text.partition(") ")[2] for text in caplog.messages]
    assert re.fullmatch(r"has said nothing for \d+ s: killing it", said[1])
    assert "was killed by SIGKILL; another one starts now" in said[2:]


def test_the_time_in_which_all_stood_still_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that was paused: all of its workers were killed when it went on."""
    now, killed = [0.0], []
    monkeypatch.setattr(supervisor_module, "monotonic", lambda: now[0])
    supervisor = Supervisor(SupervisorSettings(processes=2, grace=1.0, lease=15.0), lambda slot, line: [])
    child: Any = SimpleNamespace(is_registered=True, heard_at=0.0, name="process 1", signal=killed.append)
    supervisor._children[4711] = child
    for now[0] in (1.0, 3601.0, *range(3602, 3660)):
        supervisor._kill_silent()
    assert killed == []
    now[0] = 3661.5
    supervisor._kill_silent()
    assert killed == [signal.SIGKILL]


ENDS = """import os, sys; os.write(int(sys.argv[1]), b'{"over": true}' + bytes([10]))"""


def test_where_no_process_can_be_started_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As without memory, which is when one that grew is to be replaced: the others go on meanwhile."""
    popen, failures = subprocess.Popen, [BlockingIOError(11, "Resource temporarily unavailable")]

    def start(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return popen(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    settings = SupervisorSettings(processes=1, grace=1.0, until_empty=True)
    assert Supervisor(settings, lambda slot, line: [sys.executable, "-S", "-c", ENDS, str(line)]).run() == 0
    said = "process 1 could not be started: [Errno 11] Resource temporarily unavailable; trying again in 0.0 s"
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == [said]


def test_who_watches_all_processes_is_asked_for_help_where_one_whose_slots_hang_cannot_be_replaced() -> None:
    """Before that, the end of all would only interrupt what the others run."""
    slot = Slot(1)
    status = Status(worker=1, live=False, ready=False, is_hung=True, problems=("all its slots are taken",))
    child: Any = SimpleNamespace(is_registered=True, status=status, heard_at=monotonic(), age=60.0)
    slot.current = child
    found = []
    for _ in range(3):
        found.append(supervisor_module._slot_report(slot, 30.0))
        slot.count_failure(1.0)  # of the one that was to take over
    found.append(supervisor_module._slot_report(slot, 30.0))
    assert [each.live for each in found] == [True, True, True, False]
    assert {(each.ready, each.problems) for each in found} == {(False, ("process 1: all its slots are taken",))}
