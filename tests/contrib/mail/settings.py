"""A Django project that enqueues by ``django.tasks`` only. Its database is the one of the test."""

import django

from turnspit import Retry, Unique

SECRET_KEY = "only-for-tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = ["tests.contrib.mail", "turnspit.contrib.django"]
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")

TURNSPIT = {"APP": "tests.contrib.mail.jobs.app"}

BACKEND = "turnspit.contrib.django.task_backend.TurnspitBackend"
TASKS = {
    "default": {"BACKEND": BACKEND, "QUEUES": ["default", "email"]},
    "urgent": {"BACKEND": BACKEND, "OPTIONS": {"retry": Retry(attempts=1), "timeout": 30}},
}
TASKS |= {
    "alone": {"BACKEND": BACKEND, "OPTIONS": {"isolate": True, "unique": Unique()}},
    "twin": {"BACKEND": BACKEND, "QUEUES": []},
    "quiet": {"BACKEND": BACKEND, "OPTIONS": {"keep_result": False}},
}
