"""The systems that are measured: where their packages are, and what to ask their stores.

To add one, write a program in ``benchmarks/programs`` and name it here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.environments import Environment, Here, Node, Venv

__all__ = ["STORES", "SYSTEMS", "System", "choose"]

STORES = ("postgres", "sqlite", "redis", "none")
_ALL = ("enqueue", "drain_1", "drain_2", "latency", "idle")
_SCENARIOS = ("old_rows", "snapshot", "other_queues", "unknown_tasks", "limited", "many_queues", "in_threads", "long")


@dataclass(frozen=True)
class System:
    """One system on one kind of store."""

    store: str
    name: str
    program: str
    environment: Environment
    waiting: str = ""
    """Asks how many jobs nobody has claimed."""
    left: str = ""
    """Asks whether any job waits or runs (0: none). Asked often: it must not walk past what is finished."""
    completed: str = ""
    """Asks how many jobs are completed; empty if the store does not keep them: then the handlers count."""
    measurements: tuple[str, ...] = _ALL
    enqueues: tuple[str, ...] = ("one", "at_once", "bulk")
    share: float = 1.0
    """How much of the bulk and drain sizes this system gets: slow ones get less."""
    once: bool = False
    """Whether ``make bench`` measures it in the first repeat alone."""

    @property
    def key(self) -> str:
        """Its name among all systems."""
        return f"{self.store}/{self.name}"


def _turnspit(store: str, prefix: str, scenarios: tuple[str, ...]) -> System:
    return System(
        store,
        "turnspit",
        "turnspit_",
        Here(),
        waiting=f"SELECT count(*) FROM {prefix}jobs WHERE state = 'ready' AND fence = 0",
        left=f"SELECT id FROM {prefix}jobs WHERE id > 0 ORDER BY id DESC LIMIT 1",
        completed=f"SELECT count(*) FROM {prefix}history WHERE state = 'completed' AND id > 0",
        measurements=(*_ALL, *scenarios),
    )


def _raw(
    store: str, name: str, program: str, measurements: tuple[str, ...], enqueues: tuple[str, ...] = ("one", "bulk")
) -> System:
    return System(
        store,
        name,
        program,
        Here(),
        waiting="SELECT count(*) FROM jobs WHERE state = 'ready'",
        left="SELECT id FROM jobs ORDER BY id DESC LIMIT 1",
        completed="SELECT count(*) FROM history",
        measurements=measurements,
        enqueues=enqueues,
    )


SYSTEMS = (
    _turnspit("postgres", "turnspit.", _SCENARIOS),
    _raw("postgres", "raw", "raw_psycopg", ("enqueue", "drain_1", "drain_2", "latency")),
    _raw("postgres", "raw asyncpg", "raw_asyncpg", ("enqueue", "drain_1"), ("one", "at_once", "bulk")),
    System(
        "postgres",
        "graphile-worker",
        "graphile_worker",
        Node(("graphile-worker@0.18.0",)),
        waiting="SELECT count(*) FROM graphile_worker._private_jobs WHERE locked_at IS NULL",
        left="SELECT id FROM graphile_worker._private_jobs ORDER BY id DESC LIMIT 1",
    ),
    System(
        "postgres",
        "pg-boss",
        "pg_boss",
        Node(("pg-boss@12.38.0",)),
        waiting="SELECT count(*) FROM pgboss.job WHERE state = 'created' AND name IN ('deliver', 'mark')",
        left="SELECT 1 FROM pgboss.job WHERE state < 'completed' AND name IN ('deliver', 'mark') LIMIT 1",
        completed="SELECT count(*) FROM pgboss.job WHERE state = 'completed' AND name = 'deliver'",
        share=0.3,
        once=True,
    ),
    System(
        "postgres",
        "pgqueuer",
        "pgqueuer_",
        Venv(("pgqueuer[asyncpg]==1.6.0", "uvloop==0.23.0")),
        waiting="SELECT count(*) FROM pgqueuer WHERE status = 'queued'",
        left="SELECT id FROM pgqueuer ORDER BY id DESC LIMIT 1",
        completed="SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'",
        share=0.3,
    ),
    System(
        "postgres",
        "procrastinate",
        "procrastinate_",
        Venv(("procrastinate==3.10.0", "psycopg[binary]==3.3.9", "uvloop==0.23.0")),
        waiting="SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'",
        left="SELECT id FROM procrastinate_jobs WHERE status IN ('todo', 'doing') ORDER BY id DESC LIMIT 1",
        completed="SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
        share=0.02,
        once=True,
    ),
    System(
        "postgres",
        "oban",
        "oban_",
        Venv(("oban==0.7.0", "uvloop==0.23.0"), python=(3, 12)),
        waiting="SELECT count(*) FROM oban_jobs WHERE state = 'available'",
        left="SELECT id FROM oban_jobs WHERE state IN ('available', 'executing') ORDER BY id DESC LIMIT 1",
        completed="SELECT count(*) FROM oban_jobs WHERE state = 'completed'",
        share=0.06,
        once=True,
    ),
    System(
        "postgres",
        "chancy",
        "chancy_",
        Venv(("chancy==0.26.0", "uvloop==0.23.0")),
        waiting="SELECT count(*) FROM chancy_jobs WHERE state = 'pending'",
        left="SELECT 1 FROM chancy_jobs WHERE state IN ('pending', 'running') LIMIT 1",
        completed="SELECT count(*) FROM chancy_jobs WHERE state = 'succeeded'",
        share=0.06,
        once=True,
    ),
    System(
        "postgres",
        "awa",
        "awa_",
        Venv(("awa-pg==0.6.9", "uvloop==0.23.0")),
        waiting="SELECT count(*) FROM awa.jobs WHERE state = 'available'",
        # Its ready rows stay when they are claimed: what was ever enqueued, less what ended.
        left="SELECT (SELECT coalesce(sum(awa.sequence_next_value(seq_name) - 1), 0) FROM awa.queue_enqueue_heads)"
        " - (SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)"
        " - (SELECT count(*) FROM awa.done_entries)"
        " - (SELECT coalesce(sum(pruned_completed_count + pruned_failed_count), 0) FROM awa.queue_terminal_rollups)",
        # It prunes what was completed within seconds and keeps the number.
        completed="SELECT (SELECT count(*) FROM awa.terminal_jobs WHERE state = 'completed')"
        " + (SELECT coalesce(sum(pruned_completed_count), 0) FROM awa.queue_terminal_rollups)",
        share=0.3,
        once=True,
    ),
    _turnspit("sqlite", "turnspit_", tuple(name for name in _SCENARIOS if name != "snapshot")),
    _raw("sqlite", "raw", "raw_sqlite", ("enqueue", "drain_1")),
    System(
        "sqlite",
        "huey",
        "huey_",
        Venv(("huey==3.5.4",)),
        waiting="SELECT count(*) FROM task",
        left="SELECT 1 FROM task LIMIT 1",
        share=0.05,
    ),
    System(
        "sqlite",
        "litequeue",
        "litequeue_",
        Venv(("litequeue==0.9",)),
        waiting="SELECT count(*) FROM Queue WHERE status = 0",
        left="SELECT 1 FROM Queue WHERE status IN (0, 1) LIMIT 1",
        completed="SELECT count(*) FROM Queue WHERE status = 2",
        share=0.03,
    ),
    System(
        "redis",
        "bullmq",
        "bullmq",
        Node(("bullmq@6.7.0", "ioredis@6.0.0")),
        waiting="LLEN bull:bench:wait",
        left="LLEN bull:bench:wait + LLEN bull:bench:active",
        share=0.2,
        once=True,
    ),
    System(
        "redis",
        "dramatiq",
        "dramatiq_",
        Venv(("dramatiq[redis]==2.2.1",)),
        waiting="LLEN dramatiq:default",
        left="HLEN dramatiq:default.msgs",
        share=0.05,
        once=True,
    ),
    System("none", "asyncio", "raw_asyncio", Here(), measurements=("dispatch",)),
)


def choose(only: Sequence[str]) -> list[System]:
    """The systems whose key, name or store is in ``only``; all if it has none of these."""
    named = [each for each in SYSTEMS if {each.key, each.name} & set(only)]
    stores = [name for name in STORES if name in only]
    found = [each for each in named or SYSTEMS if not stores or each.store in stores]
    return found or list(SYSTEMS)
