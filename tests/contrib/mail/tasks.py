"""Tasks as Django's documentation has them."""

import os
from typing import TYPE_CHECKING, Any

from django.conf import settings

from tests.contrib.mail.models import Letter
from turnspit import current_job
from turnspit.contrib.django.task_framework import task

if TYPE_CHECKING:
    from elsewhere import Address


class Refused(Exception):
    """Nobody takes the letter."""


@task(queue_name="email", priority=5)
def send_letter(letter_id: int, sender: str = "the shop") -> str:
    letter = Letter.objects.get(pk=letter_id)
    letter.sent = True
    letter.save(update_fields=["sent"])
    return f"{letter.to} from {sender}"


@task
async def send_many(*to: "Address", **options: Any) -> dict[str, Any]:
    return {"to": to, **options}


@task(takes_context=True)
def refuse(context: Any, to: str) -> None:
    current_job().log(f"attempt {context.attempt} with {len(context.task_result.errors)} errors")
    raise Refused(to)


@task(takes_context=True)
async def refuse_async(context: Any) -> None:
    raise Refused(context.task_result.status)


@task(backend="urgent")
def refuse_once() -> None:
    raise ValueError("never")


@task
def return_something(kind: str) -> Any:
    circle: list[Any] = []
    circle.append(circle)
    return {
        "bytes": (b"ada",),
        "object": object(),
        "not a number": float("nan"),
        "circle": circle,
        "large": "x" * 2**20,
    }[kind]


@task(backend="quiet")
def return_nothing() -> object:
    return object()


@task(backend="alone")
def find_process() -> int:
    return os.getpid()


@task(backend="alone")
def look_around() -> list[Any]:
    return [os.getpid(), Letter.objects.count(), settings.EMAIL_BACKEND]
