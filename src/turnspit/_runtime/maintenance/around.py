"""Does what the store lets a duty do, where it refuses something of it: one job keeps back no other."""

import logging
from collections.abc import Callable
from typing import TypeVar

from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import EngineUnavailable, StoreFrozen

__all__ = ["REFUSED_AGAIN", "Around"]

logger = logging.getLogger("turnspit")

T = TypeVar("T")

REFUSED_AGAIN = 5.0
"""Seconds until what was refused is tried again."""


class Around:
    """Writes a duty's verb, and if the store refuses something, the same without it.

    :param what: what the duty does, for the log.
    """

    def __init__(self, engine: Engine, what: str) -> None:
        self._engine = engine
        self._what = what
        self.refused: dict[str, str] = {}
        """What was refused the last time, and why."""

    async def write(self, verb: Callable[..., Verb[T]], *arguments: object) -> T:
        """What the verb returns.

        :param verb: takes ``refused=``, which it fills.
        """
        try:
            answer = await self._engine.awrite(verb, *arguments)
        except (EngineUnavailable, StoreFrozen):
            raise
        except Exception as error:
            refused: dict[str, str] = {}
            answer = await self._engine.awrite(verb, *arguments, refused=refused)
            self._tell(refused, error)
        else:
            self.refused = {}
        return answer

    def write_at_once(self, verb: Callable[..., Verb[T]], *arguments: object) -> T:
        """``write`` on the calling thread, whatever becomes of the event loop."""
        try:
            return self._engine.write(verb, *arguments)
        except (EngineUnavailable, StoreFrozen):
            raise
        except Exception as error:
            refused: dict[str, str] = {}
            answer = self._engine.write(verb, *arguments, refused=refused)
            self._tell(refused, error)
            return answer

    def _tell(self, refused: dict[str, str], error: Exception) -> None:
        logger.debug("%s met %s, and went around it", self._what, error)
        for subject in refused.keys() - self.refused.keys():
            logger.error("the store refuses to %s %s: %s; others go on", self._what, subject, refused[subject])
        self.refused = refused
