"""What the dashboard needs of the app that it shows."""

from typing import Protocol

from turnspit.blueprints import TaskRegistry
from turnspit.contract import Engine
from turnspit.operations import Jobs, Limits, Queues, Schedules, Workers, Workflows
from turnspit.payloads import Payloads

__all__ = ["Served"]


class Served(Protocol):
    """An app, as ``turnspit.Turnspit`` is one."""

    name: str
    tasks: TaskRegistry
    jobs: Jobs
    queues: Queues
    schedules: Schedules
    limits: Limits
    workflows: Workflows
    workers: Workers

    @property
    def engine(self) -> Engine: ...

    def payloads(self) -> Payloads: ...
