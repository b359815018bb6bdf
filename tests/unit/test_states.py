"""The table of states and moves."""

import pytest

from turnspit.states import FINAL_STATES, LIVE_STATES, MEANINGS, MOVES, WAITING_STATES, JobState, is_allowed


def test_every_state_is_live_or_final_and_has_a_meaning() -> None:
    assert set(JobState) == LIVE_STATES | FINAL_STATES
    assert not LIVE_STATES & FINAL_STATES
    assert set(MEANINGS) == set(MOVES) == set(JobState)
    only_live = LIVE_STATES - WAITING_STATES
    assert only_live == {JobState.RUNNING}


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_only_a_replay_leaves_a_final_state(state: JobState) -> None:
    assert state.is_final
    assert {how.partition(",")[0] for how in MOVES[state].values()} == {"replayed"}


@pytest.mark.parametrize("state", sorted(LIVE_STATES))
def test_every_live_job_can_be_cancelled(state: JobState) -> None:
    assert not state.is_final
    assert is_allowed(state, JobState.CANCELLED)


def test_only_a_claim_starts_a_job() -> None:
    assert [state for state in JobState if is_allowed(state, JobState.RUNNING)] == [JobState.HELD, JobState.READY]


def test_every_state_can_be_reached_from_an_enqueue() -> None:
    reached = {JobState.SCHEDULED, JobState.BLOCKED}
    while more := {new for state in reached for new in MOVES[state]} - reached:
        reached |= more
    assert reached == set(JobState)


def test_a_state_is_its_word() -> None:
    assert str(JobState.DEAD) == "dead" == JobState.DEAD
