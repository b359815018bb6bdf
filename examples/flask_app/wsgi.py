"""The web application that gunicorn serves, and the tasks that a worker runs in its context.

gunicorn examples.flask_app.wsgi:app
turnspit worker examples.flask_app.wsgi:tasks
"""

from examples.flask_app.shop import create_app, tasks

__all__ = ["app", "tasks"]

app = create_app()
