"""The verbs of ``contract/limits.py``, on any engine.

Whoever decides about limits takes a lock first (``claim_limited_jobs_lock``), so what it reads stays true until it
commits. Verbs that store and end jobs never wait for that lock: they only mark a held job as not listed yet, and the
slot of a job that ended as free, and the next claim finds both.
"""

import contextlib
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from turnspit.clock import from_moment, monotonic
from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.base import VerbBase
from turnspit.engines.verbs.ordered import After, Head, WaitingLane, put_in_order
from turnspit.engines.verbs.rows import to_json
from turnspit.engines.verbs.windows import RateKey, SlotKey
from turnspit.records import Claim, FullKey, Lane, LimitChange, LimitedClaims, LimitedRequest, LimitRule

__all__ = ["LimitVerbs"]

_MOST_LISTED = 2000
_MOST_LANES = 64
_MOST_PARKED = 10_000
_MOST_WAITING = 500
_ROUNDS = 8
_SOON = 20_000
"""Microseconds."""


class LimitVerbs(VerbBase):
    """Limits of the fleet."""

    @abstractmethod
    def return_jobs(self, claims: Sequence[tuple[int, int]]) -> Verb[list[int]]:
        """Give claimed jobs back unrun."""

    @abstractmethod
    def run_turns(self, block: str, params: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> Verb[list[Row]]:
        """Run a block once for each turn, whose fields are parameters; all rows."""

    def free_slots(self, ids: Sequence[int], block: str = "free_slots") -> Verb[None]:
        """Mark the slots of jobs that ended as free."""
        if ids and (yield Statement(self.sql[block], {"ids": to_json(ids)})):
            yield Wake(WakeKind.READY)

    def claim_limited_jobs(self, request: LimitedRequest) -> Verb[LimitedClaims]:
        params: dict[str, Any] = {
            "now": self.clock.now(),
            "worker": request.worker,
            "tasks": to_json(sorted(request.tasks)),
            "queues": None if request.queues is None else to_json(request.queues),
        }
        until_next, tags_are_paused = yield from self._look(params)
        if until_next is None or until_next > 0:
            return LimitedClaims(until_next=until_next)
        yield from self.lock_limits()
        is_more = yield from self._list_lanes()
        yield from self._unpark_lanes(params)
        claims: list[Claim] = []
        rated: set[int] = set()
        started = monotonic()
        for _ in range(_ROUNDS):
            free = request.slots - len(claims)
            found = yield Statement(self.sql["claim_limited_jobs"], params | {"most": free + 1, "limit": _MOST_LANES})
            if not found or not free:
                is_more = is_more or bool(found)
                break
            if tags_are_paused and (yield from self._set_paused_aside([row[0] for row in found], free + 1)):
                is_more = True
                continue
            lanes = [WaitingLane.of(text, waiting) for text, waiting, _ in found]
            claimed = yield from self._serve(params, lanes, free, now=found[0][2])
            claims += claimed
            rated |= _rated(lanes, claimed)
        if is_more:
            yield Wake(WakeKind.READY)
        until_next, _ = yield from self._look(params)
        return LimitedClaims(tuple(claims), frozenset(rated), started, until_next)

    def lock_limits(self) -> Verb[None]:
        """Wait until no other claim of limited jobs is under way.

        :raises NotItsTurn: if that takes too long.
        """
        yield Statement(self.sql["claim_limited_jobs_lock"], {})

    def _look(self, params: dict[str, Any]) -> Verb[tuple[int | None, bool]]:
        """Microseconds until there is something to do (0: now), and whether any tag is paused."""
        [(is_due, until_next, tags_are_paused)] = yield Statement(self.sql["claim_limited_jobs_look"], params)
        return 0 if is_due else until_next, bool(tags_are_paused)

    def _set_paused_aside(self, lanes: Sequence[str], most: int) -> Verb[bool]:
        """Hold jobs with a paused tag among the first of these lanes; whether there were any."""
        turns = [{"lane": lane} for lane in lanes]
        portion = {"most": max(most, _MOST_LISTED // len(lanes))}
        return bool((yield from self.run_turns("claim_limited_jobs_paused", portion, turns)))

    def _list_lanes(self) -> Verb[bool]:
        """Add jobs that became held to their lanes; whether there may be more."""
        params = {"now": self.clock.now(), "limit": _MOST_LISTED}
        rows = yield Statement(self.sql["claim_limited_jobs_list"], params)
        if not rows:
            return False
        texts = sorted({text for (text,) in rows})
        lanes = [{"lane": text, "queue": lane.queue, "task": lane.task} for text, lane in _readable(texts)]
        yield Statement(self.sql["claim_limited_jobs_lanes"], params | {"lanes": to_json(lanes)})
        return len(rows) == _MOST_LISTED

    def _unpark_lanes(self, params: dict[str, Any]) -> Verb[None]:
        """For each slot that became free, make one of the lanes that wait for it due."""
        freed = Counter(key for (key,) in (yield Statement(self.sql["claim_limited_jobs_freed"], {})))
        turns = [{"key": key, "share": count} for key, count in sorted(freed.items())]
        if turns:
            yield from self.run_turns("claim_limited_jobs_unpark", params, turns)

    def _serve(self, params: dict[str, Any], lanes: list[WaitingLane], free: int, *, now: int) -> Verb[list[Claim]]:
        """Claim what the limits of these lanes let through, and store when each lane is due again."""
        lanes = yield from self._with_changes(lanes)
        instead = yield from self._put_in_order(params, lanes, now)
        keys = yield from self._read_keys((rule for lane in lanes for rule in lane.rules), now)
        _share_out(lanes, keys, free)
        claims = yield from self._take(params, lanes, now)
        _note_claimed(lanes, keys, claims)
        yield from self._store_slots(lanes, claims)
        yield from self._store_rates(keys, now)
        after = [each for lane in lanes if (each := _after(lane, keys, now)) is not None]
        lines = to_json(each._asdict() for each in (*after, *instead))
        yield Statement(self.sql["claim_limited_jobs_after"], {"lanes": lines})
        return claims

    def _take(self, params: dict[str, Any], lanes: list[WaitingLane], now: int) -> Verb[list[Claim]]:
        """Claim each lane's share: its first jobs, or the one that is its ordered key's first."""
        params = params | {"now": now}  # a job's start and its admission by a rate must be the same moment
        turns = [{"lane": lane.text, "share": lane.share} for lane in lanes if lane.share and lane.head is None]
        rows = (yield from self.run_turns("claim_limited_jobs_take", params, turns)) if turns else []
        heads = [lane.head for lane in lanes if lane.share and lane.head is not None]
        if heads:
            rows = rows + (yield Statement(self.sql["claim_limited_jobs_heads_take"], params | {"ids": to_json(heads)}))
        return sorted((Claim._make(row) for row in rows), key=lambda claim: (-claim.priority, claim.id))

    def _store_slots(self, lanes: list[WaitingLane], claims: list[Claim]) -> Verb[None]:
        """Note the slots that these jobs take until they end."""
        rules = {lane.text: lane.rules for lane in lanes}
        slots = [
            {"key": rule.key, "job": claim.id}
            for claim in claims
            for rule in rules[claim.lane or ""]
            if not rule.is_rate
        ]
        if slots:
            yield Statement(self.sql["claim_limited_jobs_slots"], {"slots": to_json(slots)})

    def _put_in_order(self, params: dict[str, Any], lanes: list[WaitingLane], now: int) -> Verb[list[After]]:
        orders = sorted({lane.order for lane in lanes if lane.order is not None})
        if not orders:
            return []
        turns = [{"order": order} for order in orders]
        rows = yield from self.run_turns("claim_limited_jobs_heads", params, turns)
        return put_in_order(lanes, {row[0]: Head._make(row) for row in rows}, now)

    def _with_changes(self, lanes: list[WaitingLane]) -> Verb[list[WaitingLane]]:
        changes = {change.name: change for change in (yield from self.list_limits())}
        for lane in lanes if changes else ():
            lane.rules = tuple(_changed(rule, changes) for rule in lane.rules)
        return lanes

    def _read_keys(self, rules: Iterable[LimitRule], now: int) -> Verb[dict[str, RateKey | SlotKey]]:
        wanted = {rule.key: rule for rule in rules}
        rates = [key for key, rule in wanted.items() if rule.is_rate]
        keys: dict[str, RateKey | SlotKey] = {key: SlotKey(0) for key in wanted}
        keys |= {key: RateKey([], 0, now=now) for key in rates}
        if rates:
            rows = yield Statement(self.sql["claim_limited_jobs_rates"], {"keys": to_json(rates)})
            keys |= {key: RateKey(json.loads(admitted), until, now=now) for key, admitted, until in rows}
        if len(rates) < len(wanted):
            others = to_json(key for key in wanted if key not in rates)
            rows = yield Statement(self.sql["claim_limited_jobs_taken"], {"keys": others})
            keys |= {key: SlotKey(count) for key, count in rows}
        return keys

    def _store_rates(self, keys: Mapping[str, RateKey | SlotKey], now: int) -> Verb[None]:
        rates = [
            {"key": name, "admitted": json.dumps(key.kept(), separators=(",", ":")), "look_at": now + key.longest}
            for name, key in sorted(keys.items())
            if isinstance(key, RateKey) and key.longest
        ]
        if rates:
            yield Statement(self.sql["claim_limited_jobs_admitted"], {"rates": to_json(rates)})

    def assign_lanes(self, lanes: Sequence[tuple[int, int, str]]) -> Verb[int]:
        yield Statement(self.sql["assign_lanes"], {"lanes": to_json(lanes)})
        return len((yield from self.return_jobs([(job, fence) for job, fence, _ in lanes])))

    def acquire_permit(self, rule: LimitRule) -> Verb[int]:
        yield Statement(self.sql["claim_limited_jobs_lock"], {})
        [(now,)] = yield Statement(self.sql["acquire_permit"], {"now": self.clock.now()})
        [lane] = yield from self._with_changes([WaitingLane("", 1, (rule,), None)])
        keys = yield from self._read_keys(lane.rules, now)
        [rule], key = lane.rules, keys[rule.key]
        assert isinstance(key, RateKey)
        if not key.free(rule):
            return max(1, key.opens_at(rule) - int(now))
        key.take(1, rule)
        yield from self._store_rates(keys, now)
        return 0

    def hold_back(self, lane: str, delay: int) -> Verb[None]:
        """Let no job of the lane's rate keys begin for so many microseconds."""
        keys = sorted(rule.key for rule in Lane.from_text(lane).rules if rule.is_rate)
        if keys:
            params = {"now": self.clock.now(), "keys": to_json(keys), "delay": delay}
            yield Statement(self.sql["hold_back"], params)

    def set_limit(self, change: LimitChange) -> Verb[None]:
        yield Statement(self.sql["claim_limited_jobs_lock"], {})
        yield Statement(self.sql["set_limit"], change._asdict())
        yield from self._look_again()

    def reset_limit(self, name: str) -> Verb[bool]:
        yield Statement(self.sql["claim_limited_jobs_lock"], {})
        rows = yield Statement(self.sql["reset_limit"], {"name": name})
        yield from self._look_again()
        return bool(rows)

    def _look_again(self) -> Verb[None]:
        yield Statement(self.sql["set_limit_look_again"], {"now": self.clock.now()})
        yield Wake(WakeKind.READY)

    def list_limits(self) -> Verb[list[LimitChange]]:
        return [LimitChange(*row) for row in (yield Statement(self.sql["list_limits"], {}))]

    def list_full_keys(self, limit: int, rates: Sequence[LimitRule] = ()) -> Verb[list[FullKey]]:
        changes = {change.name: change for change in (yield from self.list_limits())}
        rows = yield Statement(self.sql["list_full_keys"], {"limit": limit, "most": _MOST_PARKED})
        full = [_full_key(changes, *row) for row in rows]
        params = {"now": self.clock.now(), "most": _MOST_WAITING}
        rows = yield Statement(self.sql["list_full_keys_lanes"], params)
        now = rows[0][0]
        rules = [rule for _, lane in rows if lane for rule in Lane.from_text(lane).rules]
        rules = [_changed(rule, changes) for rule in dict.fromkeys((*rates, *rules)) if rule.is_rate]
        keys = yield from self._read_keys(rules, now)
        full += _used_up(rules, keys)
        return sorted(full)[:limit]

    def prune_limits(self, limit: int) -> Verb[int]:
        params = {"now": self.clock.now(), "limit": limit}
        yield Statement(self.sql["claim_limited_jobs_lock"], {})
        yield Statement(self.sql["prune_limits_slots"], params)
        yield Statement(self.sql["prune_limits_wake"], params)
        removed = 0
        yield Statement(self.sql["prune_limits_unpark"], params)
        for block in ("prune_limits_lanes", "prune_limits"):
            removed += len((yield Statement(self.sql[block], params)))
        return removed


def _readable(texts: Iterable[str]) -> Iterator[tuple[str, Lane]]:
    """The lanes of these texts, but for those that somebody else's INSERT has made up: their jobs are passed by."""
    for text in texts:
        with contextlib.suppress(ValueError, TypeError):
            yield text, Lane.from_text(text)


def _changed(rule: LimitRule, changes: Mapping[str, LimitChange]) -> LimitRule:
    change = changes.get(rule.name)
    if change is None or bool(change.per) is not rule.is_rate:
        return rule
    return rule._replace(allowed=change.allowed, per=change.per, burst=change.burst)


def _full_key(changes: Mapping[str, LimitChange], key: str, lane: str, running: int) -> FullKey:
    """A concurrency key that the lane of this text waits for."""
    rule = next(_changed(rule, changes) for rule in Lane.from_text(lane).rules if rule.key == key)
    return FullKey(*_names(rule), rule.allowed, running)


def _used_up(rules: Iterable[LimitRule], keys: Mapping[str, RateKey | SlotKey]) -> list[FullKey]:
    """The rate keys that let nothing through now."""
    full: dict[str, FullKey] = {}
    for rule in rules:
        key = keys[rule.key]
        if isinstance(key, RateKey) and not key.free(rule) and rule.key not in full:
            opens_at = from_moment(key.opens_at(rule))
            full[rule.key] = FullKey(*_names(rule), rule.allowed, key.begun(rule), rule.per / 1_000_000, opens_at)
    return list(full.values())


def _names(rule: LimitRule) -> tuple[str, str, str]:
    """The name of a limit's owner, the limit's kind, and the values of its key."""
    name, _, kind = rule.name.rpartition(" ")
    return name, kind, rule.key.removeprefix(rule.name).strip()


def _rated(lanes: Iterable[WaitingLane], claims: Iterable[Claim]) -> set[int]:
    """The jobs whose starts a rate counts."""
    with_rate = {lane.text for lane in lanes if any(rule.is_rate for rule in lane.rules)}
    return {claim.id for claim in claims if claim.lane in with_rate}


def _share_out(lanes: list[WaitingLane], keys: Mapping[str, RateKey | SlotKey], free: int) -> None:
    """Give each lane in turn one job more, until nothing is free."""
    open_lanes = lanes
    while free and open_lanes:
        still_open = []
        for lane in open_lanes:
            if free and lane.share < lane.waiting and all(keys[rule.key].free(rule) for rule in lane.rules):
                for rule in lane.rules:
                    keys[rule.key].take(1, rule)
                lane.share += 1
                free -= 1
                still_open.append(lane)
        open_lanes = still_open


def _note_claimed(lanes: list[WaitingLane], keys: Mapping[str, RateKey | SlotKey], claims: Sequence[Claim]) -> None:
    """Compare what was claimed with the shares, and give the difference back to the keys."""
    counts = Counter(claim.lane for claim in claims)
    for lane in lanes:
        lane.claimed = counts[lane.text]
        if lane.claimed < lane.share:  # some have expired, or are locked by another transaction
            for rule in lane.rules:
                keys[rule.key].give_back(lane.share - lane.claimed)


def _after(lane: WaitingLane, keys: Mapping[str, RateKey | SlotKey], now: int) -> After | None:
    """What to store of a lane that was looked at; ``None`` if nothing changes for it."""
    if lane.after is not None:
        return lane.after
    if lane.claimed < lane.share:
        return After(lane.text, now + _SOON)  # another transaction has one of its jobs locked
    if lane.claimed and lane.order is not None:
        return lane.park(now)
    if lane.claimed == lane.waiting:
        return After(lane.text, None)
    opens_at, full = now, None
    for rule in lane.rules:
        key = keys[rule.key]
        if key.free(rule):
            continue
        if isinstance(key, RateKey):
            opens_at = max(opens_at, key.opens_at(rule))
        else:
            full = rule.key
    is_open = opens_at == now and full is None
    return None if is_open and not lane.claimed else After(lane.text, opens_at, full)
