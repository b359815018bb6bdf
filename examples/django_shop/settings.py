"""What Turnspit needs of a Django project: its app among the installed ones, and where the ``Turnspit`` is."""

from pathlib import Path

INSTALLED_APPS = ["examples.django_shop.shop", "turnspit.contrib.django"]

TURNSPIT = {"APP": "examples.django_shop.shop.jobs.app"}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path.cwd() / "shop.sqlite3",
        # Writers wait for their turn at BEGIN, instead of failing in the middle of a transaction.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}

SECRET_KEY = "only-an-example"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
