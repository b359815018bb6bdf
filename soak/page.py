"""``python -m soak.page``: the reports in docs/images become the last part of docs/reliability.md."""

from pathlib import Path

__all__ = ["rewrite"]

_DOCS = Path(__file__).parent.parent / "docs"
_BEGIN, _END = "<!-- begin: written by python -m soak.page -->", "<!-- end -->"
_TITLES = {"sqlite": "On SQLite", "postgres": "On PostgreSQL"}


def rewrite(page: str, reports: dict[str, str]) -> str:
    """The page with these reports, by store, between its two marks.

    :raises ValueError: if the page has no such marks.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page has no {_BEGIN} ... {_END}")
    parts = [
        f"### {_TITLES[store]}\n\n{report}\n![Jobs a second and memory over time](images/soak-{store}.svg)\n"
        for store, report in reports.items()
    ]
    return before + begin + "\n\n" + "\n".join(parts) + "\n" + end + after


def main() -> None:
    """Write the page."""
    page = _DOCS / "reliability.md"
    files = {store: _DOCS / "images" / f"soak-{store}.md" for store in _TITLES}
    reports = {store: path.read_text(encoding="utf-8") for store, path in files.items() if path.exists()}
    page.write_text(rewrite(page.read_text(encoding="utf-8"), reports), encoding="utf-8")


if __name__ == "__main__":
    main()
