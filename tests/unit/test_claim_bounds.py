"""Where the next claim begins."""

import pytest

from turnspit.contract.jobs import MOST_QUEUES
from turnspit.engines.verbs import bounds
from turnspit.engines.verbs.bounds import ClaimBounds
from turnspit.records import Claim, ClaimRequest


def test_a_claim_behind_its_bounds_goes_to_no_more_queues_than_one_from_the_front(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a little from each of a thousand queues it took ten times as long."""
    moments = iter((0.0, 1.0, 1.0, 1.0, 1.0))
    monkeypatch.setattr(bounds, "monotonic", lambda: next(moments))
    kept = ClaimBounds()
    with kept.looking():
        pass  # it took a second
    names = [f"q{number:03}" for number in range(2 * MOST_QUEUES)]
    claims = [
        Claim(number, 1, "t", name, "{}", 1, 0, 0, 0, 0, 0, None, None, None, None) for number, name in enumerate(names)
    ]
    kept.remember(ClaimRequest(1, len(claims), frozenset({"t"})), claims)
    first = kept.turns(ClaimRequest(1, 16 * MOST_QUEUES, frozenset({"t"})))
    assert [turn["queue"] for turn in first] == names[:MOST_QUEUES]
    then = kept.turns(ClaimRequest(1, 16 * MOST_QUEUES, frozenset({"t"}), None, first[-1]["queue"]))
    assert [turn["queue"] for turn in then] == names[MOST_QUEUES:]
