"""The app of the project."""

from turnspit import Retry, Turnspit

app = Turnspit(retry=Retry(attempts=2, base=60.0))


@app.task
def native() -> None:
    """A task of Turnspit's own."""
