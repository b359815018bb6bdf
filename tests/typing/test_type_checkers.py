"""mypy and pyright agree on what is right and wrong in the files beside this one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMANDS = {
    "mypy": [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores"],
    "pyright": [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def check(tool: str, *files: Path) -> tuple[int, str]:
    """Run a type checker; its exit code and what it says."""
    done = subprocess.run([*COMMANDS[tool], *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("tool", COMMANDS)
def test_correct_use_passes_and_every_wrong_use_is_an_error(tool: str) -> None:
    code, said = check(tool, HERE / "correct_use.py", HERE / "wrong_use.py")
    assert code == 0, said


@pytest.mark.parametrize("tool", COMMANDS)
def test_an_error_that_is_not_expected_fails_the_check(tool: str, tmp_path: Path) -> None:
    lines = (HERE / "wrong_use.py").read_text().splitlines(keepends=True)
    expected = "type: ignore" if tool == "mypy" else "pyright: ignore"
    count = sum(expected in line for line in lines)
    bare = tmp_path / "bare.py"
    bare.write_text("".join(line.partition("  # type:")[0].rstrip() + "\n" for line in lines))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    code, said = check(tool, bare)

    assert code == 1, said
    wrong_lines = {line.split(":")[1] for line in said.splitlines() if "error" in line and ".py:" in line}
    assert len(wrong_lines) == count > 20, said
