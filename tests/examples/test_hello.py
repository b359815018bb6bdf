"""The first app of the README."""

from pathlib import Path

from tests.examples.programs import ROOT, run


def test_it_prints_the_result_and_does_so_again_on_the_same_store(tmp_path: Path) -> None:
    for _ in range(2):
        answer = run(tmp_path, str(ROOT / "examples" / "hello.py"))
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "Hello Ada\n", "")
    assert (tmp_path / "hello.db").exists()


def test_the_readme_shows_it_as_it_is() -> None:
    source = (ROOT / "examples" / "hello.py").read_text()
    code = source.partition('"""\n\n')[2]
    assert f"```python\n{code}```\n" in (ROOT / "README.md").read_text()
