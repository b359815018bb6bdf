"""What all documents have in common."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Count", "Document"]


class Document(BaseModel):
    """Times are ISO 8601 in UTC, durations are seconds; the names of fields are stable."""

    model_config = ConfigDict(frozen=True)


class Count(Document):
    """A number of jobs, as far as they were counted."""

    count: int
    at_least: bool = False
    """Whether there are, or may be, more."""

    def __add__(self, other: "Count") -> "Count":
        return Count(count=self.count + other.count, at_least=self.at_least or other.at_least)

    def __bool__(self) -> bool:
        return self.count > 0
