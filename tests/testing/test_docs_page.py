"""``docs/testing.md``: its examples are the files of a project, and its tests are run."""

import re
from pathlib import Path

import pytest

from tests.testing.projects import outcome, run_pytest, write

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
BLOCK = re.compile(r"(<!-- fails -->\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[bool, str, str]]:
    return [(bool(fails), language, text) for fails, language, text in BLOCK.findall(PAGE.read_text())]


def name_of(code: str) -> str:
    return code.partition("\n")[0].removeprefix("# ")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, {name_of(code): code for _, language, code in blocks() if language == "python"})
    write(tmp_path, {"hello.py": (ROOT / "examples" / "hello.py").read_text(), "shop/__init__.py": ""})
    return tmp_path


def test_every_example_is_a_file_of_the_project() -> None:
    names = [name_of(code) for _, language, code in blocks() if language == "python"]
    assert len(names) == len(set(names))
    assert all(name.endswith(".py") for name in names)


def test_the_examples_pass(project: Path) -> None:
    passing = [code for fails, language, code in blocks() if language == "python" and not fails]
    expected = sum(len(re.findall(r"^(?:async )?def test_", code, re.MULTILINE)) for code in passing)
    answer = run_pytest(project, "--deselect", "test_wrong_order.py", "-W", "ignore::pytest.PytestUnknownMarkWarning")
    assert outcome(answer) == {"passed": expected}, answer.stdout


def test_the_failing_example_fails_as_the_page_says(project: Path) -> None:
    answer = run_pytest(project, "test_wrong_order.py")
    assert outcome(answer) == {"failed": 1}
    [expected] = [text for _, language, text in blocks() if language == "text"]
    shown = re.sub(r"^E +", "", answer.stdout, flags=re.MULTILINE)
    for line in expected.strip().splitlines():
        assert line.strip() in shown
