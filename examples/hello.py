"""The first app: declare a task, enqueue a job, wait for its result. ``python hello.py`` prints ``Hello Ada``."""

from turnspit import Turnspit

app = Turnspit("sqlite:///hello.db")


@app.task
async def greet(name: str) -> str:
    return f"Hello {name}"


if __name__ == "__main__":
    with app.worker():
        print(greet.enqueue(name="Ada").get_result(timeout=5))
