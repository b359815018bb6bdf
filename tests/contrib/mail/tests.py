"""The project's own tests, which ``tests/contrib/test_django_tasks.py`` runs."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import django
from django.db import transaction
from django.test import TestCase, TransactionTestCase, override_settings
from django.utils import timezone

from tests.contrib.mail.jobs import app, native
from tests.contrib.mail.models import Letter
from tests.contrib.mail.settings import BACKEND
from tests.contrib.mail.tasks import (
    Refused,
    find_process,
    look_around,
    refuse,
    refuse_async,
    refuse_once,
    return_nothing,
    return_something,
    send_letter,
    send_many,
)
from turnspit import Concurrency, EngineUnavailable, Retry
from turnspit.contrib.django import task_framework
from turnspit.contrib.django.task_framework import (
    InvalidTask,
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task,
    task_backends,
)
from turnspit.testing import override

LOGGER = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"


class Undo(Exception):
    """Rolls a block back."""


def heard(test: Any, *names: str) -> list[tuple[str, str, type]]:
    """What the receivers of these signals hear from now on."""
    calls: list[tuple[str, str, type]] = []

    def receiver_of(name: str) -> Callable[..., None]:
        return lambda sender, task_result, **_: calls.append((name, str(task_result.status), sender))

    for name in names:
        signal, receiver = getattr(task_framework, name), receiver_of(name)
        signal.connect(receiver)
        test.addCleanup(signal.disconnect, receiver)
    return calls


class Enqueueing(TestCase):
    def test_a_result_says_what_was_enqueued(self) -> None:
        result = send_letter.enqueue(7, sender="Ada")
        job = app.jobs.get(int(result.id))
        self.assertEqual((job.task, job.queue, job.priority), ("tests.contrib.mail.tasks.send_letter", "email", 5))
        self.assertEqual(job.args, {"letter_id": 7, "sender": "Ada"})
        self.assertEqual((result.args, result.kwargs), ([7], {"sender": "Ada"}))
        self.assertEqual((result.status, result.enqueued_at), (TaskResultStatus.READY, job.created_at))
        self.assertEqual((result.task, result.backend), (send_letter, "default"))
        self.assertEqual((result.started_at, result.finished_at, result.last_attempted_at), (None, None, None))
        self.assertEqual((result.attempts, result.errors, result.is_finished), (0, [], False))
        self.assertEqual(send_letter.get_result(result.id), result)

    def test_what_using_gave_is_the_jobs(self) -> None:
        later = timezone.now() + timedelta(hours=1)
        varied = send_letter.using(priority=-100, queue_name="default", run_after=later, backend="twin")
        result = varied.enqueue(letter_id=7)
        job = app.jobs.get(int(result.id))
        self.assertEqual((job.priority, job.queue, job.run_at), (-100, "default", later))
        self.assertEqual((result.args, result.kwargs, result.backend), ([], {"letter_id": 7}, "twin"))
        self.assertEqual((result.status, send_letter.get_result(result.id).task), (TaskResultStatus.READY, varied))

    @override_settings(USE_TZ=False)
    def test_moments_are_naive_where_djangos_are(self) -> None:
        later = datetime(2037, 1, 1, 12)  # noqa: DTZ001
        with timezone.override("Asia/Tokyo"):  # for templates: it is not the zone of a naive moment
            result = send_letter.using(run_after=later).enqueue(7)
        job = app.jobs.get(int(result.id))
        zone = timezone.get_default_timezone()
        self.assertEqual(job.run_at, timezone.make_aware(later, zone))
        self.assertEqual(result.enqueued_at, timezone.make_naive(job.created_at, zone))

    def test_any_arguments(self) -> None:
        result = send_many.enqueue("ada", "bob", urgent=True, copies=(1, 2))
        self.assertEqual((result.args, result.kwargs), (["ada", "bob"], {"urgent": True, "copies": [1, 2]}))
        self.assertEqual(send_many.get_result(result.id), result)

    def test_arguments_that_do_not_fit_are_refused_at_once(self) -> None:
        for arguments in ({"letter": 7}, {}, {"letter_id": timezone.now()}, {"letter_id": object()}):
            with self.assertRaises(TypeError):
                send_letter.enqueue(**arguments)
        self.assertEqual(app.jobs.count(), 0)

    def test_a_job_is_part_of_the_transaction(self) -> None:
        with self.assertRaises(Undo), transaction.atomic():
            result = send_letter.enqueue(7)
            self.assertEqual(send_letter.get_result(result.id), result)
            raise Undo
        with self.assertRaises(TaskResultDoesNotExist):
            result.refresh()

    def test_there_is_no_result_of_what_django_has_not_enqueued(self) -> None:
        known = send_letter.enqueue(7).id
        others = ("7000", "nonsense", "-1", str(2**70), None, f"0{known}", f" {known}", str(native.enqueue().id))
        for result_id in others:
            with self.assertRaises(TaskResultDoesNotExist):
                send_letter.get_result(result_id)

    def test_a_job_that_a_person_has_enqueued_has_a_result(self) -> None:
        job = app.tasks["tests.contrib.mail.tasks.send_letter"].enqueue(letter_id=7)
        result = send_letter.get_result(str(job.id))
        self.assertEqual((result.kwargs, result.task), ({"letter_id": 7}, send_letter))

    def test_a_job_that_a_person_has_changed_has_a_result(self) -> None:
        result = send_letter.enqueue(7)
        app.jobs.update(int(result.id), priority=1000, queue="other")
        found = send_letter.get_result(result.id)
        self.assertEqual((found.task.priority, found.task.queue_name), (1000, "other"))
        app.jobs.cancel(int(result.id), reason="too late")
        found.refresh()
        self.assertEqual((found.status, found.is_finished, found.attempts), (TaskResultStatus.FAILED, True, 0))
        self.assertEqual(found.errors[0].exception_class.__name__, "JobCancelled")
        self.assertIn("too late", found.errors[0].traceback)

    def test_a_job_of_an_alias_that_is_gone_has_a_result(self) -> None:
        result_id = send_letter.using(backend="twin").enqueue(7).id
        with override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": []}}):
            result = send_letter.get_result(result_id)
            result.refresh()
        self.assertEqual((result.backend, result.task), ("default", send_letter))

    def test_a_whole_number_is_a_priority_whatever_its_type(self) -> None:
        self.assertEqual(send_letter.using(priority=7.0).enqueue(7).task.priority, 7)

    def test_a_job_may_be_enqueued_when_the_transaction_has_committed(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: send_letter.enqueue(7))
        self.assertEqual([job.args for job in app.jobs.list()], [{"letter_id": 7}])

    async def test_async_code(self) -> None:
        result = await send_many.aenqueue("ada")
        self.assertEqual(await send_many.aget_result(result.id), result)
        await result.arefresh()
        self.assertEqual((await app.jobs.aget(int(result.id))).args, {"to": ["ada"]})


def steps() -> Any:
    yield 1


class Declaring(TestCase):
    def test_what_cannot_work_is_refused(self) -> None:
        for changes in ({"queue_name": "other"}, {"priority": 101}, {"run_after": datetime(2037, 1, 1)}):  # noqa: DTZ001
            with self.assertRaises(InvalidTask):
                send_letter.using(**changes)
        with self.assertRaisesRegex(InvalidTask, "steps has a yield"):
            task(steps)
        with self.assertRaisesRegex(InvalidTask, "send_many is async: isolate=True is for a plain def"):
            task(backend="alone")(type(send_many.func)(send_many.func.__code__, {}, "send_many"))

    def test_options_are_a_tasks(self) -> None:
        with self.assertRaisesRegex(InvalidTask, r"declare it with @task\(backend='urgent'\)"):
            refuse.using(backend="urgent")
        declared = app.tasks["tests.contrib.mail.tasks.refuse_once"]
        self.assertEqual((declared.retry, declared.timeout), (Retry(attempts=1), 30_000_000))

    def test_options_are_checked_at_start(self) -> None:
        for options, complaint in (
            ({"retries": 3}, r"TASKS\['default'\]\['OPTIONS'\]: there is no retries; there are retry, timeout"),
            ({"retry": 3}, r"TASKS\['default'\]\['OPTIONS'\]: retry takes a Retry"),
            ({"concurrency": 3}, r"TASKS\['default'\]\['OPTIONS'\]: concurrency takes Concurrency"),
        ):
            with (
                override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}),
                self.assertRaisesRegex(InvalidTaskBackend, complaint),
            ):
                list(task_backends.all())

    def test_a_limit_may_name_an_argument_of_its_tasks(self) -> None:
        options = {"concurrency": Concurrency(1, key="letter_id"), "fair_key": ["sender"], "isolate": True}
        with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
            self.assertEqual([list(backend.check()) for backend in task_backends.all()], [[]])


class Running(TestCase):
    def setUp(self) -> None:
        self.t = self.enterContext(override(app))
        self.letter = Letter.objects.create(to="ada@example.com")

    def test_what_a_job_did(self) -> None:
        calls = heard(self, "task_enqueued", "task_started", "task_finished")
        result = send_letter.enqueue(self.letter.pk, sender="Bob")
        with self.assertRaisesRegex(ValueError, "not finished"):
            _ = result.return_value
        self.t.advance(60)
        self.t.drain(reraise=True)
        result.refresh()
        self.assertEqual(
            (result.status, result.return_value), (TaskResultStatus.SUCCESSFUL, "ada@example.com from Bob")
        )
        self.assertEqual((result.attempts, result.errors), (1, []))
        self.assertEqual(result.started_at, result.enqueued_at + timedelta(seconds=60))
        self.assertEqual(result.last_attempted_at, result.started_at)
        self.assertGreaterEqual(result.finished_at, result.started_at)
        self.letter.refresh_from_db()
        self.assertTrue(self.letter.sent)
        sender = type(task_backends["default"])
        states = [("task_enqueued", "READY"), ("task_started", "RUNNING"), ("task_finished", "SUCCESSFUL")]
        self.assertEqual(calls, [(*state, sender) for state in states])

    def test_an_async_task(self) -> None:
        calls = heard(self, "task_started", "task_finished")
        result = send_many.enqueue("ada", "bob", urgent=True)
        self.t.drain(reraise=True)
        result.refresh()
        self.assertEqual(result.return_value, {"to": ["ada", "bob"], "urgent": True})
        self.assertEqual([name for name, *_ in calls], ["task_started", "task_finished"])

    def test_a_failed_attempt_is_followed_by_another(self) -> None:
        calls = heard(self, "task_started", "task_finished")
        result = refuse.enqueue(to="ada")
        self.t.drain()
        result.refresh()
        self.assertEqual((result.status, result.is_finished, result.attempts), (TaskResultStatus.READY, False, 1))
        self.t.advance(timedelta(hours=1))
        with self.assertLogs(LOGGER, "ERROR") as logs:
            self.t.drain()
        self.assertIn("Refused: ada", logs.output[0])
        result.refresh()
        self.assertEqual((result.status, result.attempts), (TaskResultStatus.FAILED, 2))
        self.assertEqual([error.exception_class for error in result.errors], [Refused, Refused])
        self.assertTrue(all("raise Refused(to)" in error.traceback for error in result.errors))
        self.assertGreater(result.last_attempted_at, result.started_at)
        with self.assertRaisesRegex(ValueError, "failed"):
            _ = result.return_value
        lines = [line.message for line in app.jobs.get(int(result.id)).get_logs()]
        self.assertEqual(lines, ["attempt 1 with 0 errors", "attempt 2 with 1 errors"])
        self.assertEqual([name for name, *_ in calls], ["task_started", "task_started", "task_finished"])

    def test_a_policy_of_its_back_end(self) -> None:
        result = refuse_once.enqueue()
        self.t.drain()
        result.refresh()
        self.assertEqual((result.status, result.attempts), (TaskResultStatus.FAILED, 1))
        self.assertEqual([error.exception_class for error in result.errors], [ValueError])

    def test_an_async_task_has_its_context(self) -> None:
        result = refuse_async.enqueue()
        self.t.drain()
        result.refresh()
        self.assertIn("Refused: RUNNING", result.errors[0].traceback)

    def test_a_store_that_is_away_before_it_begins_costs_no_attempt(self) -> None:
        result = refuse_async.enqueue()
        with mock.patch.object(app.jobs, "get", side_effect=EngineUnavailable):
            self.t.drain()
        self.assertEqual(app.jobs.get(int(result.id)).attempt, 0)
        self.t.advance(1)
        self.t.drain()
        result.refresh()
        self.assertEqual([error.exception_class for error in result.errors], [Refused])

    def test_a_unique_task_is_enqueued_once(self) -> None:
        calls = heard(self, "task_enqueued")
        first, second = find_process.enqueue(), find_process.enqueue()
        self.assertEqual(second, first)
        self.assertEqual(len(calls), 1)

    def test_a_result_is_kept_as_django_keeps_it(self) -> None:
        result = return_something.enqueue("bytes")
        self.t.drain(reraise=True)
        result.refresh()
        self.assertEqual((result.status, result.return_value), (TaskResultStatus.SUCCESSFUL, ["ada"]))

    def test_a_task_whose_result_cannot_be_kept_has_failed_and_is_not_tried_again(self) -> None:
        for kind, complaint in (
            ("object", "Unsupported type"),
            ("not a number", "NaN"),
            ("circle", "recursion"),
            ("large", "over the limit"),
        ):
            result = return_something.enqueue(kind)
            self.t.drain()
            result.refresh()
            self.assertEqual((result.status, result.attempts), (TaskResultStatus.FAILED, 1))
            self.assertTrue(issubclass(result.errors[0].exception_class, TypeError))
            self.assertIn(complaint, result.errors[0].traceback)

    def test_where_no_result_is_kept_any_will_do(self) -> None:
        result = return_nothing.enqueue()
        self.t.drain(reraise=True)
        result.refresh()
        self.assertEqual((result.status, result.return_value), (TaskResultStatus.SUCCESSFUL, None))

    def test_where_only_django_listens_the_store_is_not_asked(self) -> None:
        for each, argument in ((send_letter, self.letter.pk), (send_many, "ada")):
            result, path = each.enqueue(argument), each.module_path
            with mock.patch.object(app.jobs, "get", side_effect=AssertionError), self.assertLogs(LOGGER, "INFO") as log:
                self.t.drain(reraise=True)
            states = [f"Task id={result.id} path={path} state={state}" for state in ("RUNNING", "SUCCESSFUL")]
            self.assertEqual([record.getMessage() for record in log.records], states)

    def test_a_receiver_that_fails_harms_no_job(self) -> None:
        def fail(**_: Any) -> None:
            raise Undo

        for signal in (task_framework.task_started, task_framework.task_finished):
            signal.connect(fail)
            self.addCleanup(signal.disconnect, fail)
        result = send_many.enqueue("ada")
        with self.assertLogs("django.dispatch", "ERROR"):
            self.t.drain(reraise=True)
        result.refresh()
        self.assertEqual(result.status, TaskResultStatus.SUCCESSFUL)


class Working(TransactionTestCase):
    def test_an_isolated_task_works_with_the_tests_database(self) -> None:
        self.addCleanup(app.jobs.delete, all=True)
        Letter.objects.create(to="ada@example.com")
        result = look_around.enqueue()
        app.run_worker(until_empty=True)
        result.refresh()
        process, letters, emails_go_to = result.return_value
        self.assertNotEqual(process, os.getpid())
        self.assertEqual((letters, emails_go_to), (1, "django.core.mail.backends.locmem.EmailBackend"))

    def test_a_worker_on_the_database(self) -> None:
        self.addCleanup(app.jobs.delete, all=True)
        letter = Letter.objects.create(to="ada@example.com")
        sent, failed = send_letter.enqueue(letter.pk), refuse_once.enqueue()
        app.run_worker(until_empty=True, concurrency=2)
        for result in (sent, failed):
            result.refresh()
        self.assertEqual(sent.return_value, "ada@example.com from the shop")
        self.assertEqual([error.exception_class for error in failed.errors], [ValueError])
        self.assertEqual(sent.worker_ids, failed.worker_ids)
