"""``turnspit limits``: what may begin and run, and changing it for all workers at run time."""

from typing import Annotated

import typer

from turnspit.cli.documents import limit_document
from turnspit.cli.errors import Failed, WrongUsage
from turnspit.cli.loading import find_app, find_store
from turnspit.cli.options import AsJson, StoreAndName, StoreArgument, split_name
from turnspit.cli.output import describe_duration, line, new_table, note, plain, print_json, print_table
from turnspit.cli.values import parse_duration
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


def list_(app: StoreArgument = None, as_json: AsJson = False) -> None:
    """Show every limit that the app declares or that was changed at run time, and for which keys jobs wait.

    A store's URL knows of no limit that was only declared, but of every key of a concurrency that is full.
    """
    target = find_store(app)
    found, full = target.app.limits.list(), target.app.limits.full_keys(_MOST + 1)
    if as_json:
        shown = [key._asdict() for key in full[:_MOST]]
        print_json({"limits": [limit_document(limit) for limit in found], "full": shown})
        return
    if found:
        _show(found)
    else:
        note("the app declares no limits" if target.has_code else "no limit was changed; the app knows the others")
    if full:
        _show_full(full)


def _show_full(full: list[FullKey]) -> None:
    right = {"justify": "right"}
    table = new_table([("FULL", {"max_width": 40}), ("KEY", {"max_width": 40}), ("RUNNING", right), ("ALLOWED", right)])
    for key in full[:_MOST]:
        table.add_row(plain(key.name), plain(key.key), f"{key.running:,}", f"{key.allowed:,}")
    print_table(table)
    more = f"the first {_MOST} keys; " if len(full) > _MOST else ""
    note(f"{more}FULL: jobs wait for a place of that concurrency's key")


def _show(found: list[LimitInfo]) -> None:
    table = new_table([("LIMIT", {"max_width": 40}), "KIND", ("ALLOWED", {"justify": "right"}), "SINCE"])
    for limit in found:
        table.add_row(plain(limit.name), limit.kind, _allowed(limit), _since(limit))
    print_table(table)


def set_(
    words: StoreAndName,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate", metavar="N/TIME", help="So many in any such time, as 10/1s or 600/1h.", show_default=False
        ),
    ] = None,
    burst: Annotated[
        int | None,
        typer.Option("--burst", metavar="N", min=1, help="At most so many of a rate at once.", show_default=False),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", metavar="N", min=1, help="So many at a time.", show_default=False),
    ] = None,
) -> None:
    """Change a limit of a task, of a queue ("queue heavy") or of a name, until it is reset."""
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
    if not count.isdecimal() or not per:
        raise WrongUsage(f"--rate is a number in a time, as 10/1s, not {rate!r}")
    return Rate(int(count), per=parse_duration(per, "the time of --rate"), burst=burst)


def _allowed(limit: LimitInfo) -> str:
    burst = "" if limit.burst is None else f", {limit.burst} at once"
    return f"{limit.allowed:,}" if limit.per is None else f"{limit.allowed:,} in {describe_duration(limit.per)}{burst}"


def _since(limit: LimitInfo) -> str:
    if not limit.is_changed:
        return "declared"
    return "changed" if limit.declared is None else f"changed, declared as {limit.declared:,}"
