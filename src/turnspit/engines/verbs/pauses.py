"""The verbs of ``contract/pauses.py``, on any engine."""

from turnspit.contract.verbs import Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.claims import MOST_HELD
from turnspit.engines.verbs.leases import LeaseVerbs
from turnspit.records import PauseKind, PauseRecord

__all__ = ["PauseVerbs"]


class PauseVerbs(LeaseVerbs):
    """Queues, tasks and tags whose jobs do not start."""

    def pause(self, kind: PauseKind, name: str) -> Verb[bool]:
        params = {"now": self.clock.now(), "kind": kind, "name": name}
        if not (yield Statement(self.sql["pause"], params)):
            return False
        yield Wake(WakeKind.PAUSE)
        return True

    def resume(self, kind: PauseKind, name: str) -> Verb[bool]:
        ended = yield Statement(self.sql["resume"], {"kind": kind, "name": name})
        if not ended:
            return False
        yield from self.by_halves(lambda _: self.admit_resumed_jobs(MOST_HELD), {"a portion": None}, {})
        yield Wake(WakeKind.READY)
        return True

    def list_pauses(self) -> Verb[list[PauseRecord]]:
        return [PauseRecord._make(row) for row in (yield Statement(self.sql["list_pauses"], {}))]
