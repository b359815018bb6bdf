"""The house rules of the code, as tests: small files, small functions, one clock, no hidden imports."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "turnspit"
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
LONGEST_PART = 25
CLOCK_CALLS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "monotonic"),
    ("time", "sleep"),
    ("asyncio", "sleep"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
}
LAZY_DOORS = {"engines/__init__.py", "app.py", "__main__.py", "cli/dashboard.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).exists()]


def source_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in python_files()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{relative(path)}:{function.lineno} {function.name}"
        for path in python_files()
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def test_only_clock_reads_the_time_or_sleeps() -> None:
    found = []
    for path in source_files():
        if path.name == "clock.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and (owner.id, node.func.attr) in CLOCK_CALLS:
                    found.append(f"{relative(path)}:{node.lineno} {owner.id}.{node.func.attr}")
    assert found == []


def test_own_modules_are_imported_at_the_top_only() -> None:
    hidden = []
    for path in source_files():
        if str(path.relative_to(SOURCE)) in LAZY_DOORS:
            continue
        for outer in ast.walk(ast.parse(path.read_text())):
            inside = isinstance(outer, Function) or (
                isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test)
            )
            if not inside:
                continue
            for node in ast.walk(outer):
                names = _imported(node)
                if any(name.split(".")[0] == "turnspit" for name in names):
                    hidden.append(f"{relative(path)}:{node.lineno}")  # type: ignore[attr-defined]
    assert hidden == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_nothing_is_left_undone() -> None:
    markers = ("TODO", "FIXME", "XXX", "raise NotImplementedError")
    found = [
        f"{relative(path)}:{number} {line.strip()}"
        for path in source_files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(marker in line for marker in markers)
    ]
    assert found == []


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{relative(path)} has no docstring"


def test_every_test_module_belongs_to_a_folder_that_says_its_question() -> None:
    loose = [path.name for path in (ROOT / "tests").glob("test_*.py")]
    assert loose == []


def test_every_module_stands_in_the_table_of_contributing() -> None:
    rows = [line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("| ")]
    named = [name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[2])]
    there = {path.name for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(named) == sorted(there - {"__init__.py", "__main__.py"})


def test_every_decision_is_in_their_index_by_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    titles = {path.name: path.read_text().partition("\n")[0].removeprefix("# ") for path in folder.glob("0*.md")}
    assert [name for name, title in titles.items() if f"* [{title}]({name})\n" not in index] == []
    assert [name for name, title in titles.items() if not title.startswith(f"{name[:4]} · ")] == []


def test_the_changelog_is_by_parts_that_can_be_read() -> None:
    """A line belongs below its part. Whoever merges keeps the parts, not the list of the days that there was before."""
    version = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1]
    lines = {part.partition("\n")[0]: part.count("\n* ") for part in version.split("\n### ")[1:]}
    assert {part: count for part, count in lines.items() if count > LONGEST_PART} == {}


def test_the_floors_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
