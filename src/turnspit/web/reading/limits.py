"""Limits: how they apply now, and which of their keys let nothing through."""

from collections.abc import Collection

from turnspit.records import FullKey
from turnspit.web.answer_cache import AnswerCache
from turnspit.web.models import FullKeyDocument, LimitDocument
from turnspit.web.redaction import Redaction
from turnspit.web.served import Served

__all__ = ["LimitReader"]

_PATIENCE = 2.0
_MOST = 500


class LimitReader:
    """Reads what screens show of limits."""

    def __init__(self, app: Served, redaction: Redaction, cache: AnswerCache) -> None:
        self._app = app
        self._redaction = redaction
        self._cache = cache

    async def all(self) -> list[LimitDocument]:
        """Every limit that the app declares or that was changed."""
        return [LimitDocument(**limit._asdict()) for limit in await self._app.limits.alist()]

    async def full_keys(self) -> list[FullKeyDocument]:
        """Keys that let none through now and for which jobs wait, at most 500, by name."""
        return await self._cache.get("full keys", _PATIENCE, self._full_keys)

    async def _full_keys(self) -> list[FullKeyDocument]:
        found = await self._app.limits.afull_keys(_MOST)
        return [FullKeyDocument(**full._asdict() | {"key": self._shown(full)}) for full in found]

    def _shown(self, full: FullKey) -> str:
        return self._redaction.limit_key(full.name, self._names(full), full.key)

    def _names(self, full: FullKey) -> Collection[str] | None:
        """The arguments of which a key is made, or may be; ``None`` where this app does not know."""
        task = self._app.tasks.get(full.name)
        limit = next((each for each in task.limits if each.what == full.kind), None) if task is not None else None
        if task is None or limit is None or limit.key is None:
            return None
        return task.signature.names if callable(limit.key) else limit.key
