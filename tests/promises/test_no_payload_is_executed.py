"""10. JSON in, validated by type; never pickle."""

import ast
import base64
import pickle
from pathlib import Path
from typing import Any

import pytest

import turnspit
from turnspit import InvalidPayload, Turnspit

SOURCE = Path(turnspit.__file__).parent
EXECUTING = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "jsonpickle"}


class Bomb:
    """Unpickling this runs what it says."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('a payload was executed')",)


def test_no_payload_is_executed(app: Turnspit) -> None:
    """Whatever a payload holds, it arrives as the value that the signature names."""
    texts = [
        base64.b64encode(pickle.dumps(Bomb())).decode(),
        pickle.dumps(Bomb(), protocol=0).decode("latin-1"),
        "__import__('os')._exit(1)",
        "!!python/object/apply:os._exit [1]",
        '{"py/reduce": [{"py/function": "os._exit"}, {"py/tuple": [1]}]}',
    ]

    @app.task
    def echo(text: str, anything: Any = None) -> Any:
        return {"text": text, "anything": anything}

    with app.worker():
        for text in texts:
            nested = {"__class__": "Bomb", "__reduce__": [text], "py/object": text}
            job = echo.enqueue(text, nested)
            assert job.get_result(timeout=10) == {"text": text, "anything": nested}


def test_an_object_is_no_payload(app: Turnspit) -> None:
    @app.task
    def echo(anything: Any) -> None: ...

    with pytest.raises(InvalidPayload):
        echo.enqueue(Bomb())
    assert app.jobs.count() == 0


def test_nothing_in_turnspit_could_execute_one() -> None:
    """No module that makes objects of bytes, and no ``eval`` or ``exec``."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                names = [node.func.id]
            found += [
                f"{path.name}: {name}" for name in names if name.partition(".")[0] in EXECUTING | {"eval", "exec"}
            ]
    assert found == []
