"""The result of a job that has not run yet, as an argument of another job of its workflow.

To a type checker it is the result itself. Really it stands for it: it can be given to another job, as can a field or an
item of it, alone or in lists and dicts. Whatever else is done with it raises.

>>> placeholder = Placeholder("charge_payment", None)
>>> placeholder.receipt["number"]
<the result of charge_payment, .receipt.number>
>>> f"paid: {placeholder}"
Traceback (most recent call last):
...
turnspit.errors.InvalidArguments: the result of charge_payment is not known before it has run: ...
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from turnspit.errors import InvalidArguments

__all__ = [
    "Placeholder",
    "contains_placeholder",
    "parts_used",
    "placeholders_in",
    "renamed",
    "template_of",
    "used_in",
]


class Placeholder:
    """Stands for a job's result, or for a part of it."""

    __slots__ = ("_job", "_path", "_task")

    def __init__(self, task: str, job: Any, path: tuple[str | int, ...] = ()) -> None:
        self._task = task
        self._job = job
        self._path = path

    def __getattr__(self, name: str) -> "Placeholder":
        if name.startswith("_"):
            raise AttributeError(name)  # Python and pydantic ask everything for such names
        return Placeholder(self._task, self._job, (*self._path, name))

    def __getitem__(self, key: str | int) -> "Placeholder":
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            self._refuse()
        return Placeholder(self._task, self._job, (*self._path, key))

    def __repr__(self) -> str:
        steps = "".join(f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]"
                        for step in self._path)  # fmt: skip
        return f"<the result of {self._task}{', ' if steps else ''}{steps}>"

    def _refuse(self, *_: object, **__: object) -> Any:
        raise InvalidArguments(
            f"the result of {self._task} is not known before it has run: give it, a field or an item of it to another "
            "job as an argument, and do the rest in that job's task"
        )

    __eq__ = __hash__ = __bool__ = __str__ = __format__ = __iter__ = __call__ = __len__ = __contains__ = _refuse
    __int__ = __float__ = __index__ = __bytes__ = __neg__ = __add__ = __radd__ = __sub__ = __rsub__ = _refuse
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __and__ = __or__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __await__ = __reduce__ = _refuse


def contains_placeholder(value: Any) -> bool:
    """Whether an argument is one, or a list or dict that holds one."""
    return next(placeholders_in(value), None) is not None


def placeholders_in(value: Any) -> Iterator[Placeholder]:
    """Every placeholder in an argument."""
    if type(value) is Placeholder:
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from placeholders_in(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from placeholders_in(part)


def template_of(value: Any, simplify: Callable[[Any], Any]) -> list[Any]:
    """What is stored of an argument that holds placeholders; see ``records.NewWorkflowJob``.

    :param simplify: turns what holds none into JSON values.
    """
    if type(value) is Placeholder:
        return ["result", value._job, list(value._path)]
    if contains_placeholder(value):
        if isinstance(value, Mapping):
            return ["dict", {str(key): template_of(part, simplify) for key, part in value.items()}]
        return ["list", [template_of(part, simplify) for part in value]]
    return ["value", simplify(value)]


def parts_used(template: Any) -> Iterator[tuple[Any, list[str | int]]]:
    """The jobs whose results a template uses, and which part of each."""
    match template:
        case ["result", job, path]:
            yield job, path
        case ["list", parts]:
            for part in parts:
                yield from parts_used(part)
        case ["dict", parts]:
            for part in parts.values():
                yield from parts_used(part)


def used_in(template: Any) -> Iterator[Any]:
    """The jobs whose results a template uses."""
    return (job for job, _ in parts_used(template))


def renamed(template: Any, name: Callable[[Any], Any]) -> Any:
    """The template with each of its jobs replaced by what ``name`` makes of it."""
    match template:
        case ["result", job, path]:
            return ["result", name(job), path]
        case ["list", parts]:
            return ["list", [renamed(part, name) for part in parts]]
        case ["dict", parts]:
            return ["dict", {key: renamed(part, name) for key, part in parts.items()}]
    return template
