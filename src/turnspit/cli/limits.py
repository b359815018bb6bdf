"""``turnspit limits``: what may begin and run, and changing it for all workers at run time."""

import re
from typing import Annotated

import typer

from turnspit.cli.documents import full_key_document, limit_document
from turnspit.cli.errors import Failed, WrongUsage
from turnspit.cli.loading import find_app, find_store
from turnspit.cli.options import AppAndName, AsJson, StoreAndName, StoreArgument, split_name
from turnspit.cli.output import describe_duration, line, new_table, note, plain, print_json, print_table
from turnspit.cli.values import parse_duration
from turnspit.clock import to_moment, utc_now
from turnspit.limits import Concurrency, Rate
from turnspit.operations import LimitInfo
from turnspit.records import FullKey

__all__ = ["EXAMPLES", "HELP", "list_", "reset", "set_"]

HELP = "Look at limits, and change them for all workers."
EXAMPLES = {
    "list": ("turnspit limits list shop.jobs:app",),
    "set": (
        "turnspit limits set shop.jobs:app call_partner --rate 10/1s --burst 2",
        'turnspit limits set shop.jobs:app "queue heavy" --concurrency 2',
    ),
    "reset": ("turnspit limits reset shop.jobs:app call_partner",),
}
_MOST = 100
_COUNT = re.compile(r"\d{1,19}", re.ASCII)


def list_(app: StoreArgument = None, as_json: AsJson = False) -> None:
    """Show every limit that the app declares or that was changed at run time, and which of their keys are full.

    A key is full when jobs wait for it: as many of its jobs run as the limit allows, or its rate is used up; then it is
    shown when one more may begin. With a store's URL, limits that only the code declares are not listed, but their full
    keys are.
    """
    target = find_store(app)
    found, full = target.app.limits.list(), target.app.limits.full_keys(_MOST + 1)
    if as_json:
        shown = [full_key_document(key) for key in full[:_MOST]]
        print_json({"limits": [limit_document(limit) for limit in found], "full": shown})
        return
    if found:
        _show(found)
        if full:
            line("")
    else:
        note("the app declares no limits" if target.has_code else "no limit was changed; the app knows the others")
    if full:
        _show_full(full, target.app.engine.clock.now() or to_moment(utc_now()))


def _show_full(full: list[FullKey], now: int) -> None:
    right = {"justify": "right"}
    table = new_table(
        [("FULL", {"max_width": 40}), "KIND", ("KEY", {"max_width": 40}), ("TAKEN", right), "ALLOWED", "ROOM AGAIN"]
    )
    for key in full[:_MOST]:
        table.add_row(plain(key.name), key.kind, plain(key.key), f"{key.taken:,}", _allowed(key), _opens(key, now))
    print_table(table)
    more = f"the first {_MOST} keys; " if len(full) > _MOST else ""
    note(f"{more}FULL: that key of the limit lets none through now")


def _opens(key: FullKey, now: int) -> str:
    if key.opens_at is None:
        return "when one ends"
    return f"in {describe_duration(max(0, to_moment(key.opens_at) - now) / 1_000_000)}"


def _show(found: list[LimitInfo]) -> None:
    table = new_table([("LIMIT", {"max_width": 40}), "KIND", ("ALLOWED", {"justify": "right"}), "SINCE"])
    for limit in found:
        table.add_row(plain(limit.name), limit.kind, _allowed(limit), _since(limit))
    print_table(table)


def set_(
    words: AppAndName,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            metavar="N/TIME",
            help="At most N jobs in any such TIME, like 10/1s or 600/1h.",
        ),
    ] = None,
    burst: Annotated[
        int | None,
        typer.Option("--burst", metavar="N", min=1, help="With --rate: at most N jobs at once."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", metavar="N", min=1, help="At most N jobs at a time."),
    ] = None,
) -> None:
    """Change a limit until it is reset. NAME is a task, "queue heavy" for a queue, or a limit that the app names."""
    typed, name = split_name(words, "limit")
    limit = _limit(rate, burst, concurrency)
    find_app(typed).app.limits.set(name, limit)
    line(f"{limit.what} of {plain(name)} is changed for all workers")


def reset(words: StoreAndName) -> None:
    """Forget what was changed about a limit: what the code declares applies again."""
    typed, name = split_name(words, "limit")
    if not find_store(typed).app.limits.reset(name):
        raise Failed(f"no limit of {name!r} was changed")
    line(f"what the code declares for {plain(name)} applies again")


def _limit(rate: str | None, burst: int | None, concurrency: int | None) -> Rate | Concurrency:
    if (rate is None) is (concurrency is None):
        raise WrongUsage("say what it is changed to: one of --rate and --concurrency")
    if concurrency is not None:
        return Concurrency(concurrency)
    count, _, per = (rate or "").partition("/")
    if not _COUNT.fullmatch(count) or not per:
        raise WrongUsage(f"--rate is a number in a time, as 10/1s, not {rate!r}")
    return Rate(int(count), per=parse_duration(per, "the time of --rate"), burst=burst)


def _allowed(limit: LimitInfo | FullKey) -> str:
    burst = f", {limit.burst} at once" if isinstance(limit, LimitInfo) and limit.burst is not None else ""
    return f"{limit.allowed:,}" if limit.per is None else f"{limit.allowed:,} in {describe_duration(limit.per)}{burst}"


def _since(limit: LimitInfo) -> str:
    if not limit.is_changed:
        return "declared"
    return "changed" if limit.declared is None else f"changed, declared as {limit.declared:,}"
