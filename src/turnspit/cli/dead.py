"""``turnspit dead``: the dead letters, by what went wrong."""

from typing import Annotated

import typer
from rich.text import Text

from turnspit.cli import bulk
from turnspit.cli.documents import group_document
from turnspit.cli.filters import takes_filter
from turnspit.cli.launching import program
from turnspit.cli.loading import find_store
from turnspit.cli.options import All, AsJson, JobsASecond, StoreAndIds, StoreArgument, TaskName, Yes, option
from turnspit.cli.output import count_of, new_table, note, plain, print_json, print_table, when
from turnspit.operations import FilterFields

__all__ = ["EXAMPLES", "HELP", "groups", "replay"]

_MOST = 50
"""Groups that a person is shown: of three thousand, the largest would have scrolled away."""
_LARGEST = 1_000_000

HELP = "Look at the dead letters, and replay them."
EXAMPLES = {
    "groups": ("turnspit dead groups shop.jobs:app",),
    "replay": (
        "turnspit dead replay shop.jobs:app 113 114",
        "turnspit dead replay shop.jobs:app --group 0594dee86b69",
        "turnspit dead replay shop.jobs:app --all --yes",
        "turnspit dead replay shop.jobs:app --task call_partner --rate 50",
    ),
}


def groups(
    app: StoreArgument = None,
    task: TaskName = None,
    limit: Annotated[
        int | None,
        option("--limit", "N", f"How many groups at most. Default: {_MOST}, and all with --json.", min=1, max=_LARGEST),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Group the dead letters by task, error type and message; the largest group first."""
    target = find_store(app)
    engine = target.app.engine
    found = engine.read(engine.group_dead_letters, task)
    if as_json:
        print_json({"groups": [group_document(group) for group in found[:limit]]})
        return
    if not found:
        note(f"no dead letters at {engine.location}")
        return
    table = new_table(
        [("COUNT", {"justify": "right"}), "GROUP", ("TASK", {"max_width": 24}), "LAST", ("ERROR", {"ratio": 1})]
    )
    table.expand = True
    shown = found[: limit or _MOST]
    for group in shown:
        error = Text(plain(" ".join(f"{group.error_type}: {group.message}".split())))
        table.add_row(f"{group.count:,}", plain(group.fingerprint), plain(group.task), when(group.last_at), error)
    print_table(table)
    total = count_of(sum(group.count for group in found), "dead letter")
    if len(shown) < len(found):
        note(f"{len(shown):,} of {len(found):,} groups shown; --limit {len(found)} shows all")
    note(f"{total}; replay a group: {program()} dead replay {target.hint}--group {found[0].fingerprint}")


@takes_filter(without=["state", "fingerprint", "workflow", "idempotency_key"])
def replay(
    words: StoreAndIds = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="ID",
            help="The dead letters of this group.",
            rich_help_panel="Which jobs",
        ),
    ] = None,
    *,
    fields: FilterFields,
    rate: JobsASecond = None,
    all_: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make dead letters live again, with their history: by id, by group, by filter, or all."""
    if group is not None:
        fields["fingerprint"] = group
    bulk.carry_out(bulk.REPLAY, words, fields, rate=rate, all_=all_, yes=yes, as_json=as_json)
