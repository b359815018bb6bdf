"""The proof: each sentence has a query over the ledger and the store that finds the jobs which break it; none must.

The sentences are in ``sentences.py``. Fault tests and the soak share it: ``prove(ledger_folder, store)``.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from soak.ledger import entries
from soak.sentences import FIGURES, PREPARED, SENTENCES, TABLES

__all__ = ["Evidence", "Proof", "prove"]


class Evidence(Protocol):
    """What a store says at the end, a row each."""

    def finals(self) -> Iterable[tuple[Any, ...]]:
        """``place, job, task, state, attempt, crashes, fence, result, cancel_requested_at``, live jobs too."""
        ...

    def attempts(self) -> Iterable[tuple[Any, ...]]:
        """``job, fence, outcome, worker, finished_at``."""
        ...

    def effects(self) -> Iterable[tuple[Any, ...]]:
        """``job``: what tasks wrote in the transaction of ``job.finish(tx)``."""
        ...


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found: ``violations`` holds the first jobs that break each sentence that is broken."""

    figures: dict[str, int]
    counts: dict[str, int]
    violations: dict[str, list[int]]

    @property
    def holds(self) -> bool:
        """Whether every sentence holds."""
        return not self.violations


def prove(ledger: Path, store: Evidence, place: str = ":memory:") -> Proof:
    """Compare the ledger with the store.

    :param place: a file to work in, if that does not fit into memory.
    """
    base = sqlite3.connect(place, isolation_level=None)
    base.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + TABLES)
    base.execute("BEGIN")
    base.executemany("INSERT INTO ledger VALUES (?, ?, ?, ?, ?)", entries(ledger))
    base.executemany("INSERT INTO finals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", store.finals())
    base.executemany("INSERT INTO attempts VALUES (?, ?, ?, ?, ?)", store.attempts())
    base.executemany("INSERT INTO effects VALUES (?)", store.effects())
    base.execute("COMMIT")
    base.executescript(PREPARED)
    figures = {name: base.execute(query).fetchone()[0] for name, query in FIGURES.items()}
    counts, violations = {}, {}
    for name, sentence in SENTENCES.items():
        found = [job for (job,) in base.execute(sentence.broken_by)]
        counts[name] = len(found)
        if found:
            violations[name] = found[:10]
    base.close()
    return Proof(figures, counts, violations)
