"""The pages say what the code says, and their examples run."""

import contextlib
import doctest
import importlib
import io
import os
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import turnspit
from tests.docs.generate import PAGES
from tests.postgres import new_database

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = [ROOT / "README.md", ROOT / "docs" / "dashboard.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
BLOCK = re.compile(r"(<!-- not run: .+? -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"<!-- not run: as in (\S+) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
WORD = re.compile(r"\b[A-Z]\w+")
EXPLAINED_BY_ITS_VERB = {"BatchTaskDecorator", "Dashboard", "Iteration"}
PYTHONS = {"Any", "AsyncIterator", "Callable", "Iterator", "None"}
LINKED = [
    *ROOT.glob("*.md"),
    *(page for part in ("docs", "examples", "tests") for page in sorted((ROOT / part).rglob("*.md"))),
]
EDGES = ("turnspit.cli", "turnspit.__main__")


def examples(page: Path) -> Iterator[tuple[str, str | None]]:
    """Each Python block that is run, with the output that the page shows right behind it."""
    text = page.read_text()
    found = list(BLOCK.finditer(text))
    for number, match in enumerate(found):
        if match[2] != "python" or match[1]:
            continue
        following = found[number + 1] if number + 1 < len(found) else None
        is_output = following and following[2] == "text" and not text[match.end() : following.start()].strip()
        yield match[3], following[3] if following and is_output else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_pages_are_up_to_date(page: Path) -> None:
    assert page.read_text() == PAGES[page](), f"run `make docs`: {page.name} differs from the code"


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TURNSPIT_URL", raising=False)
    namespace: dict[str, object] = {"__name__": "__main__"}
    database = new_database() if "postgresql://" in page.read_text() else ""
    for written, expected in examples(page):
        code = written.replace("postgresql://shop@db.example.com/shop", database)
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(compile(code, str(page), "exec", dont_inherit=True), namespace)
        if expected is not None:
            assert shown.getvalue() == expected
    for value in namespace.values():
        if isinstance(value, turnspit.Turnspit):
            value.close()


def test_every_page_has_examples_or_is_generated() -> None:
    assert all(list(examples(page)) or QUOTED.search(page.read_text()) for page in WITH_EXAMPLES)


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_what_a_page_quotes_is_what_the_example_says(page: Path) -> None:
    for path, code in QUOTED.findall(page.read_text()):
        assert code in (ROOT / path).read_text(), f"{path} says something else than {page.name}"


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to, as GitHub makes them."""
    headings = HEADING.findall(BLOCK.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


def test_every_extra_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installing = (ROOT / "docs" / "README.md").read_text().partition("## Installing\n")[2].partition("\n## ")[0]
    told = {
        name for row in re.findall(r"^\| (`.*?) \|", installing, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert told == {*project["optional-dependencies"]}


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    linked = {(docs / link).resolve() for link in LINK.findall((docs / "README.md").read_text())}
    pages = {docs / "decisions" / "README.md", *docs.glob("*.md"), *docs.glob("guide/*.md")} - {docs / "README.md"}
    assert sorted(pages - linked) == []


@pytest.mark.parametrize(
    "name", [each.name for each in pkgutil.walk_packages(turnspit.__path__, "turnspit.") if each.name not in EDGES]
)
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.failed == 0


def test_everything_public_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    told = {*re.findall(r"^## (\w+)$", reference, re.MULTILINE), *re.findall(r"^\*\*`(\w+)`", reference, re.MULTILINE)}
    assert {*turnspit.__all__, *turnspit.errors.__all__} - told == set()


def test_what_a_verb_returns_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    returned = {name for kind in re.findall(r"-> (.+)`\*\*$", reference, re.MULTILINE) for name in WORD.findall(kind)}
    assert returned - {*HEADING.findall(reference)} == EXPLAINED_BY_ITS_VERB | PYTHONS


def test_every_error_is_in_the_tree_of_errors() -> None:
    module = turnspit.errors
    there = {name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, Exception)}
    tree = re.findall(r"[├└]── (\w+)", module.__doc__ or "")
    assert sorted(module.__all__) == sorted(there) == sorted(["TurnspitError", *tree])


def test_the_version_is_the_newest_of_the_changelog() -> None:
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert turnspit.__version__ in heads[:2]
    assert os.path.exists(ROOT / "LICENSE")
