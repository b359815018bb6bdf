"""What the verbs need from an engine."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from turnspit.clock import Clock
from turnspit.contract.verbs import Statement, Verb
from turnspit.jobs import JobFilter

__all__ = ["VerbBase"]

P = TypeVar("P")
R = TypeVar("R")

_MOST_REFUSED = 50
"""Parts in one transaction. Where more are refused, others are tried first the next time."""


class VerbBase(ABC):
    """The base of all verbs: an engine's named SQL blocks, its way to write a filter, and its clock.

    Every engine has a block of each name that the verbs use. Parameters are written ``:name``; a list is passed as one
    JSON text.
    """

    clock: Clock
    sql: Mapping[str, str]

    @abstractmethod
    def where(self, filter_: JobFilter) -> tuple[str, dict[str, Any]]:
        """A filter as an SQL condition, and its parameters."""

    @abstractmethod
    def is_refused(self, error: Exception) -> bool:
        """Whether the store refused what a statement would have stored: a constraint, or a trigger of somebody else."""

    def by_halves(
        self, do: Callable[[list[P]], Verb[R]], parts: Mapping[str, P], refused: dict[str, str]
    ) -> Verb[list[R]]:
        """Do this with all parts but those that the store refuses, which are found by halving; what it returned for
        each group.

        :param parts: by what they are called in ``refused``.
        """
        answers: list[R] = []
        waiting = [random.sample(sorted(parts), len(parts))] if parts else []
        found = 0
        while waiting and found < _MOST_REFUSED:
            names = waiting.pop()
            yield Statement("SAVEPOINT by_halves", {})
            try:
                answers.append((yield from do([parts[name] for name in names])))
            except Exception as error:
                if not self.is_refused(error):
                    raise
                yield Statement("ROLLBACK TO by_halves", {})
                half = len(names) // 2
                if half:
                    waiting += [names[half:], names[:half]]
                else:
                    found += 1
                    refused[names[0]] = str(error).partition("\n")[0]
            yield Statement("RELEASE by_halves", {})
        return answers
