"""A notebook: cells run again and again, in a program whose event loop is running all the time."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import Blueprint, ConfigurationError, Turnspit

FIRST_CELL = """
from turnspit import Blueprint, Turnspit
app = Turnspit(url)
blueprint = Blueprint("lab")
app.include(blueprint)
"""
TASK_CELL = """
@app.task
def measure(number: int) -> int:
    return number * {factor}

@blueprint.task
async def note(number: int) -> int:
    return number + {factor}
"""


class Notebook:
    """Cells that share one namespace, as in IPython's kernel."""

    def __init__(self, url: str) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__", "url": url}

    def run(self, cell: str) -> None:
        """Run a cell."""
        exec(compile(cell, "<cell>", "exec"), self.namespace)

    def __getitem__(self, name: str) -> Any:
        return self.namespace[name]


@pytest.fixture
def notebook(folder: Path) -> Any:
    notebook = Notebook(f"sqlite:///{folder}/lab.db")
    notebook.run(FIRST_CELL)
    yield notebook
    notebook["app"].close()


def test_a_cell_with_a_task_may_be_run_again(notebook: Notebook) -> None:
    notebook.run(TASK_CELL.format(factor=2))
    first = notebook["measure"]
    notebook.run(TASK_CELL.format(factor=3))
    assert notebook["app"].tasks["measure"] is notebook["measure"] is not first
    with notebook["app"].worker():
        assert notebook["measure"].enqueue(5).get_result(DEADLINE) == 15
        assert notebook["note"].enqueue(5).get_result(DEADLINE) == 8
        assert first.enqueue(5).get_result(DEADLINE) == 15  # an old name still means the task


def test_the_first_cell_may_be_run_again(notebook: Notebook) -> None:
    for factor in (2, 3):
        notebook.run(FIRST_CELL)
        notebook.run(TASK_CELL.format(factor=factor))
        with notebook["app"].worker():
            assert notebook["measure"].enqueue(5).get_result(DEADLINE) == 5 * factor
        notebook["app"].close()


def test_a_task_declared_while_a_worker_runs_is_run_by_it(notebook: Notebook) -> None:
    with notebook["app"].worker():
        notebook.run(TASK_CELL.format(factor=4))
        assert notebook["measure"].enqueue(5).get_result(DEADLINE) == 20


def test_two_different_functions_of_one_name_are_still_refused(notebook: Notebook) -> None:
    notebook.run(TASK_CELL.format(factor=2))
    with pytest.raises(ConfigurationError, match="two tasks are named 'measure'"):
        notebook.run("@app.task(name='measure')\ndef other() -> None: ...")


def test_everything_works_inside_the_kernels_running_loop(notebook: Notebook) -> None:
    async def kernel() -> list[int]:
        notebook.run(TASK_CELL.format(factor=2))
        notebook.run("worker = app.worker()\nworker.__enter__()")
        with pytest.warns(RuntimeWarning, match="a sync verb was called inside a running event loop"):
            notebook.run(f"result = measure.enqueue(5).get_result({DEADLINE})")
        job = await notebook["note"].aenqueue(5)
        answers = [notebook["result"], await job.aget_result(DEADLINE)]
        notebook.run("worker.__exit__(None, None, None)")
        async with notebook["app"].worker():
            answers.append(await (await notebook["measure"].aenqueue(7)).aget_result(DEADLINE))
        return answers

    assert asyncio.run(kernel()) == [10, 7, 14]


def test_a_module_reloaded_declares_its_tasks_again(app: Turnspit, tmp_path: Path, monkeypatch: Any) -> None:
    import importlib

    (tmp_path / "bakery.py").write_text(
        "from turnspit import Blueprint\nwarm = Blueprint('warm')\n@warm.task\ndef bake(loaves: int) -> int:\n"
        "    return loaves\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        app.discover("bakery")
        importlib.reload(sys.modules["bakery"])
        app.discover("bakery")
        module = sys.modules["bakery"]
        assert isinstance(module.warm, Blueprint)
        with app.worker():
            assert module.bake.enqueue(3).get_result(DEADLINE) == 3
    finally:
        sys.modules.pop("bakery", None)
