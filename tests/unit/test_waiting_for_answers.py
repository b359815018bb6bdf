"""How long a sync caller waits for the answer to a call."""

from typing import Any

import pytest

from turnspit.engines.answers import wait_for_answer
from turnspit.engines.calls import Call
from turnspit.errors import EngineUnavailable


class Unanswered(Call):
    """Notes for how long it was waited for."""

    def __init__(self, verb: Any) -> None:
        super().__init__(verb)
        self.waited: list[float] = []

    def wait(self, timeout: float) -> bool:
        self.waited.append(timeout)
        return False


class Threads:
    def __init__(self) -> None:
        self.asked = 0

    def help(self) -> None:
        self.asked += 1

    def drop(self, call: Call) -> None: ...


@pytest.mark.parametrize(("threads", "asked"), [(Threads(), 1), (None, 0)])
def test_a_call_is_waited_for_until_its_deadline_and_no_longer(threads: Threads | None, asked: int) -> None:
    call = Unanswered(lambda: None)
    call.hand_over()
    with pytest.raises(EngineUnavailable, match=r"^too late: the call was not carried out$"):
        wait_for_answer(call, 2.0, lambda: "too late", threads)
    assert sum(call.waited) == 2.0
    assert (threads.asked if threads is not None else 0) == asked
