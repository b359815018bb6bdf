"""Where a store's schema stands, and whether this release can work with it."""

from dataclasses import dataclass

from turnspit.errors import SchemaMismatch

__all__ = ["SchemaStatus"]

_NAMED = 3


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where a store's schema stands."""

    current: int
    """The version of the store; 0 if it has none."""
    newest: int
    """The version that this release brings."""
    pending: tuple[str, ...]
    """The names of the migrations to apply."""
    works_with: int
    """The oldest release, named by the newest schema that it knows, whose code can work with this store."""
    missing: tuple[str, ...] = ()
    """Tables that its migrations made, but that are gone."""

    @property
    def is_newer(self) -> bool:
        """Whether a newer release made it; see ``is_too_new``."""
        return self.current > self.newest

    @property
    def is_too_new(self) -> bool:
        """Whether a newer release changed it so that this one cannot work with it."""
        return self.works_with > self.newest

    def refuse_too_new(self, location: str) -> None:
        """Raise if this release cannot work with the store.

        :raises SchemaMismatch: with the cure.
        """
        if self.is_too_new:
            raise SchemaMismatch(
                f"store {location} has schema {self.current}, but this Turnspit knows {self.newest}: "
                "upgrade turnspit on this machine"
            )

    def refuse_too_old(self, location: str, why: str) -> None:
        """Raise if migrations are missing, which nobody is going to apply.

        :param why: why not, in words that continue a sentence after a comma.
        :raises SchemaMismatch: with the cure.
        """
        if self.pending:
            stands = f"has schema {self.current}, but this Turnspit needs {self.newest}"
            since = f" --since {self.current}" if self.current else ""
            raise SchemaMismatch(
                f"store {location} {stands if self.current else 'has no schema yet'}, {why}: run `turnspit migrate` as "
                f"a user who may change it, or have what `turnspit migrate --sql{since}` prints run there"
            )

    def refuse_incomplete(self, location: str) -> None:
        """Raise if tables are gone, which no migration makes again.

        :raises SchemaMismatch: with the cure.
        """
        if self.missing:
            raise SchemaMismatch(f"store {location} has schema {self.current}, but {self.lacks}")

    @property
    def lacks(self) -> str:
        """What is gone and what to do, in words that continue a sentence."""
        others = f" and {len(self.missing) - _NAMED} more" if len(self.missing) > _NAMED else ""
        return (
            f"without {', '.join(self.missing[:_NAMED])}{others}, which somebody dropped: restore a backup, for "
            "`turnspit migrate` makes no table a second time"
        )
