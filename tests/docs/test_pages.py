"""The pages say what the code says, and their examples run."""

import contextlib
import doctest
import importlib
import io
import os
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import turnspit
from tests.docs.generate import PAGES
from tests.postgres import new_database

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
BLOCK = re.compile(r"(<!-- not run: .+? -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"<!-- not run: as in (\S+) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\((?!https?:)([^)#]+)")
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


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = CODE.sub("", page.read_text())
    broken = [link for link in LINK.findall(prose) if not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize(
    "name", [each.name for each in pkgutil.walk_packages(turnspit.__path__, "turnspit.") if each.name not in EDGES]
)
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.failed == 0


def test_every_error_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    assert all(f"`{name}`" in reference for name in turnspit.errors.__all__)


def test_the_version_is_the_newest_of_the_changelog() -> None:
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert turnspit.__version__ in heads[:2]
    assert os.path.exists(ROOT / "LICENSE")
