"""Looking for jobs."""

from turnspit.errors import ConfigurationError
from turnspit.jobs import JobFilter
from turnspit.operations import is_id
from turnspit.states import FILTER_STATES, RETRYING
from turnspit.web.models import JobsPage
from turnspit.web.rendering import Screen, View
from turnspit.web.searching import make_search, parse_search, write_search
from turnspit.web.site import Site

__all__ = ["PAGE", "confirm", "jobs", "refuse_hidden"]

PAGE = 50
_SAMPLE = 5
_EMPTY = JobsPage(jobs=[], next=None, is_partial=False)


async def jobs(site: Site, view: View) -> Screen:
    """The newest jobs that match a search, a page at a time."""
    text = view.params.get("q", "").strip()
    before = view.params.get("before", "")
    context = {"q": text, "page": _EMPTY, "error": None, "tabs": [], "state": None, "before": before}
    try:
        filter_ = make_search(text)
        refuse_hidden(site, filter_)
    except ConfigurationError as error:
        return Screen("jobs.html", "Jobs", context | {"error": str(error)}, 400)
    page = await site.jobs.search(filter_, PAGE, int(before) if is_id(before) else None)
    state = RETRYING if filter_.is_retrying else None if filter_.state is None else str(filter_.state)
    return Screen("jobs.html", "Jobs", context | {"page": page, "state": state, "tabs": _tabs(text)})


def refuse_hidden(site: Site, filter_: JobFilter) -> None:
    """Refuse a search by a redacted argument or key: its result would reveal the value.

    :raises ConfigurationError: for such a search.
    """
    redaction, may_be_hidden = site.redaction, filter_.task is None and site.redaction.hides_some_task
    for name, value in (filter_.args or {}).items():
        if may_be_hidden or redaction.of(filter_.task or "", {name: value}) != {name: value}:
            raise ConfigurationError(f"args.{name} cannot be searched: it is redacted here")
    if filter_.unique_key is not None and redaction.hides_task(filter_.task):
        raise ConfigurationError(f"a key of {filter_.task} cannot be searched: it is redacted here")


def _tabs(text: str) -> list[tuple[str, str]]:
    """The same search for each state: what it is called, and its text."""
    fields = parse_search(text) | {"id": None, "state": None}
    tabs = [("all", write_search(fields))]
    return tabs + [(state, write_search({"state": state} | fields | {"state": state})) for state in FILTER_STATES]


async def confirm(site: Site, view: View) -> Screen:
    """Which jobs a bulk change would affect, to be confirmed before it starts."""
    verb, text = view.params.get("verb", ""), view.params.get("q", "").strip()
    filter_ = make_search(text)
    refuse_hidden(site, filter_)
    expected = await site.bulk.expect(verb, filter_)
    page = await site.jobs.search(site.bulk.sample_of(verb, filter_), _SAMPLE, None)
    context = {"verb": verb, "q": text, "expected": expected, "sample": page.jobs, "is_empty": filter_.is_empty}
    return Screen("confirm.html", f"{verb.capitalize()} jobs", context)
