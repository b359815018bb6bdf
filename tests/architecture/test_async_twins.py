"""A verb and its async twin are written twice: they say the same, but for the awaits."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "turnspit"
MODULES = [
    *sorted((SOURCE / "operations").glob("*.py")),
    SOURCE / "testing" / "assertions.py",
    *(SOURCE / f"{name}.py" for name in ("app", "tasks", "jobs", "context", "client", "backlog")),
    *(SOURCE / f"workflow{name}.py" for name in ("s", "_declaring", "_store")),
]
BY_OTHER_MEANS = {"wait_final", "wait_ended", "check_alerts", "migrate", "close", "_insert_part"}
"""A thread waits, hands over and closes by other means than an event loop."""
STREAMS = {"enqueue_many", "add_many", "map", "store_map", "_chunks"}
"""Their twins also take an async iterable."""
WARNS = {"_warn_in_loop"}
"""A sync verb says that it blocks the loop that it is called in."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Plain(ast.NodeTransformer):
    """The sync twin of async code."""

    def __init__(self, twins: set[str]) -> None:
        self._twins = twins

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.visit(node.value)  # type: ignore[no-any-return]

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        return self.generic_visit(ast.copy_location(ast.With(node.items, node.body), node))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self._plain(node.attr)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = {"thread_sleep": "sleep"}.get(node.id, self._plain(node.id))
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        value = node.value
        if isinstance(value, ast.Constant):  # the docstring
            return None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in WARNS:
            return None
        return self.generic_visit(node)

    def _plain(self, name: str) -> str:
        bare = name.lstrip("_")
        return name.replace(bare, bare[1:], 1) if name in self._twins else name


def functions(tree: ast.AST) -> dict[str, Function]:
    return {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}


def twin_of(name: str) -> str:
    bare = name.lstrip("_")
    return name[: len(name) - len(bare)] + "a" + bare


def pairs() -> Iterator[tuple[str, Function, Function]]:
    for path in MODULES:
        for owner in ast.walk(ast.parse(path.read_text())):
            if isinstance(owner, ast.ClassDef):
                found = functions(owner)
                for name, function in found.items():
                    if twin_of(name) in found and name not in BY_OTHER_MEANS | STREAMS:
                        yield f"{path.stem}.{owner.name}.{name}", function, found[twin_of(name)]


PAIRS = list(pairs())
TWINS = {twin.name for _, _, twin in PAIRS} | {
    "awrite",
    "aread",
    "awrite_in",
    "aenqueue_many",
    "achain",
    "aroom",
    "await_final",
    "afinish_in",
    "aclose",
}


@pytest.mark.parametrize(("sync", "twin"), [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS])
def test_a_verb_and_its_async_twin_do_the_same(sync: Function, twin: Function) -> None:
    assert ast.dump(sync.args) == ast.dump(twin.args)
    plain = [
        ast.unparse(ast.Module([node for each in one.body if (node := Plain(TWINS).visit(each))], []))
        for one in (sync, twin)
    ]
    assert plain[0] == plain[1]
