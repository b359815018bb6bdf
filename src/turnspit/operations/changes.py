"""The changes that a person makes to jobs, and the states in which jobs can be changed so.

>>> DELETE.check_state("dead")
>>> DELETE.check_state("running")
Traceback (most recent call last):
...
turnspit.errors.ConfigurationError: a running job cannot be deleted: only ... ones can
>>> [str(state) for state in REPLAY.meant_states]
['dead']
"""

from collections.abc import Sequence
from typing import NamedTuple

from turnspit.errors import ConfigurationError
from turnspit.states import FINAL_STATES, LIVE_STATES, RETRYING, WAITING_STATES, JobState

__all__ = ["CANCEL", "DELETE", "REPLAY", "RUN_NOW", "JobChange"]


class JobChange(NamedTuple):
    """A change of jobs, as messages and filters speak of it."""

    verb: str
    done: str
    """The verb's participle."""
    states: frozenset[JobState]
    """Jobs in these states can be changed."""
    default_state: JobState | None = None
    """The state that a filter without a state means; ``None``: all of ``states``."""

    @property
    def meant_states(self) -> Sequence[JobState]:
        """The states that a filter without a state means."""
        return sorted(self.states) if self.default_state is None else [self.default_state]

    def check_state(self, state: str | None) -> None:
        """Check that jobs in the state of a filter can be changed; ``None`` is a filter without a state.

        :raises ConfigurationError: if they cannot.
        """
        if state is None or (JobState.SCHEDULED if state == RETRYING else state) in self.states:
            return
        states = ", ".join(each for each in JobState if each in self.states)
        raise ConfigurationError(f"a {state} job cannot be {self.done}: only {states} ones can")


REPLAY = JobChange("replay", "replayed", FINAL_STATES, JobState.DEAD)
RUN_NOW = JobChange("run now", "made ready", WAITING_STATES - {JobState.BLOCKED}, JobState.SCHEDULED)
CANCEL = JobChange("cancel", "cancelled", LIVE_STATES)
DELETE = JobChange("delete", "deleted", WAITING_STATES | FINAL_STATES)
