"""Turnspit in Flask: the factory says where the store is, and every job runs in an application context.

flask --app examples.flask_app.shop run

curl -X POST 127.0.0.1:5000/greetings/Ada     {"id":1,"state":"ready"}
flask --app examples.flask_app.shop turnspit worker
curl 127.0.0.1:5000/greetings/1               {"id":1,"result":"Good day, Ada","state":"completed"}
"""

from flask import Flask, abort, current_app
from flask.typing import ResponseReturnValue

from turnspit import JobNotFound, JobState, Turnspit
from turnspit.contrib.flask import init_app

tasks = Turnspit()


@tasks.task
def greet(name: str) -> str:
    """``current_app`` works here as in a view, though a worker's thread runs it."""
    return f"{current_app.config['GREETING']}, {name}"


def create_app(store: str = "sqlite:///flask.db") -> Flask:
    """Make the web application; ``store`` is the URL of its jobs."""
    app = Flask(__name__)
    app.config.update(GREETING="Good day", TURNSPIT_URL=store)
    init_app(app, tasks)

    @app.post("/greetings/<name>")
    def order_greeting(name: str) -> ResponseReturnValue:
        job = greet.enqueue(name)
        return {"id": job.id, "state": job.state}, 202

    @app.get("/greetings/<int:job_id>")
    def show_greeting(job_id: int) -> ResponseReturnValue:
        try:
            job = tasks.jobs.get(job_id)
        except JobNotFound as error:
            abort(404, str(error))
        result = job.get_result() if job.state is JobState.COMPLETED else None
        return {"id": job.id, "state": job.state, "result": result}

    return app
