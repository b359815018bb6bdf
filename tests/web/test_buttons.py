"""What the buttons do to jobs and schedules."""

import logging
from datetime import timedelta

import pytest

from tests.web.conftest import ORIGIN, Site, TestClient
from turnspit import Cron, Job, Rate
from turnspit.operations import Portions
from turnspit.records import BlockedLoop, NewJob, NewWorker
from turnspit.testing import TestStore
from turnspit.web import make_dashboard
from turnspit.web.reading import jobs


def dead_letter(shop: TestStore, **arguments: object) -> "Job[str]":
    job = shop.app.tasks["send"].enqueue(to="nobody", **arguments)
    for _ in range(12):
        shop.drain()
        shop.advance(timedelta(hours=2))
    assert job.refresh().state == "dead"
    return job


def test_replay(site: Site, shop: TestStore) -> None:
    job = dead_letter(shop)
    assert site.post(f"/jobs/{job.id}/replay", back=f"/jobs/{job.id}") == f"good: job {job.id} replayed"
    assert job.refresh().state == "ready"
    assert "job" in site.post(f"/jobs/{job.id}/replay", back="/")  # a second time it is refused, in words
    assert site.post(f"/jobs/{job.id}/replay").startswith(f"bad: job {job.id} (send) is ready and cannot be replayed")


def test_cancel_run_update_delete(site: Site, shop: TestStore) -> None:
    job = shop.app.tasks["send"].using(delay=3600).enqueue(to="ada")
    site.post(f"/jobs/{job.id}/update", priority="7", queue="slow", delay="")
    assert (job.refresh().priority, job.queue, job.state) == (7, "slow", "scheduled")
    assert site.post(f"/jobs/{job.id}/update", priority="high").startswith("bad: priority is a whole number")
    site.post(f"/jobs/{job.id}/run")
    assert job.refresh().state == "ready"
    site.post(f"/jobs/{job.id}/cancel")
    assert (job.refresh().state, job.reason) == ("cancelled", "cancelled on the dashboard")
    assert site.post(f"/jobs/{job.id}/delete", back="/jobs") == f"good: job {job.id} deleted"
    site.get(f"/jobs/{job.id}", 404)


def test_ids_that_no_job_can_have(site: Site) -> None:
    for verb in ("replay", "cancel", "delete", "run", "update"):
        answer = site.client.post(f"/jobs/{10**25}/{verb}", data={"priority": "1"}, headers={"Origin": ORIGIN})
        assert answer.status_code == 404


def test_edit_and_duplicate(site: Site, shop: TestStore) -> None:
    job = shop.app.tasks["send"].using(tags=["a"]).enqueue(to="ada", order_id=7, password="s3cret")
    form = site.get(f"/jobs/{job.id}/duplicate")
    assert "s3cret" not in form
    edited = '{"to": "bob", "order_id": 8, "password": "[hidden]"}'
    answer = site.post(f"/jobs/{job.id}/duplicate", args=edited, queue="email", priority="3", delay="", tags="b, c")
    assert answer == f"good: job {job.id + 1} enqueued, a copy of job {job.id}"
    copy = shop.app.jobs.get(job.id + 1)
    assert copy.args == {"to": "bob", "order_id": 8, "password": "s3cret"}
    assert (copy.priority, copy.tags) == (3, ("b", "c"))


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ('{"to": 7}', "to: Input should be a valid string"),
        ("[1]", "the arguments are one JSON object"),
        ("{", "the arguments are one JSON object"),
    ],
)
def test_arguments_that_do_not_fit_are_shown_again(site: Site, shop: TestStore, args: str, why: str) -> None:
    job = shop.app.tasks["send"].enqueue(to="ada")
    fields = {"args": args, "queue": "email", "priority": "0", "delay": "", "tags": ""}
    answer = site.client.post(f"/jobs/{job.id}/duplicate", data=fields, headers={"Origin": "http://localhost"})
    assert answer.status_code == 422
    assert why in answer.text
    assert shop.app.jobs.count() == 1


def test_a_copy_of_a_job_whose_task_is_not_declared_here(site: Site, shop: TestStore) -> None:
    engine = shop.app.engine
    job = engine.write(engine.insert_job, NewJob("elsewhere", "default", '{"n":1}')).id
    assert "does not declare the task" in site.text(f"/jobs/{job}")
    site.post(f"/jobs/{job}/duplicate", args='{"n":2}', queue="default", priority="0", delay="", tags="")
    assert shop.app.jobs.get(job + 1).args == {"n": 2}


def test_ticked_jobs(site: Site, shop: TestStore) -> None:
    jobs = [shop.app.tasks["send"].enqueue(to="ada") for _ in range(3)]
    ids = [str(job.id) for job in jobs[:2]]
    assert site.post("/jobs/chosen", verb="cancel", id=ids, back="/jobs") == "good: 2 jobs cancelled"
    assert [job.refresh().state for job in jobs] == ["cancelled", "cancelled", "ready"]
    assert site.post("/jobs/chosen", verb="cancel", id=[]) == "bad: no job was ticked"
    assert site.post("/jobs/chosen", verb="replay", id=[str(jobs[2].id)]).startswith("bad: 0 jobs replayed; job")


def test_all_that_match_are_counted_first_then_worked_through(site: Site, shop: TestStore) -> None:
    send = shop.app.tasks["send"]
    shop.app.enqueue_many(send.using(queue="slow").new(to=str(number)) for number in range(1203))
    other = send.enqueue(to="ada")
    text = site.text("/jobs/bulk?verb=cancel&q=queue:slow")
    assert text.startswith("Cancel 1,203 jobs?")
    assert site.post("/jobs/bulk", verb="cancel", q="queue:slow", back="/jobs") == "good: the jobs are being cancelled"
    while "1,203 of 1,203 jobs cancelled; done" not in site.text("/jobs"):
        pass
    assert shop.app.jobs.count(state="cancelled") == 1203
    assert other.refresh().state == "ready"


def test_what_waits_for_a_time_runs_now(site: Site, shop: TestStore) -> None:
    send = shop.app.tasks["send"].using(delay=3600)
    jobs = [send.enqueue(to=str(number)) for number in range(3)]
    assert site.post("/jobs/chosen", verb="run", id=[str(jobs[0].id)], back="/jobs") == "good: 1 job made ready"
    assert "Run all now…" in site.get("/jobs?q=task:send")
    assert "Run 2 jobs?" in site.text("/jobs/bulk?verb=run&q=task:send")
    site.post("/jobs/bulk", verb="run", q="task:send", back="/jobs")
    while "2 of 2 jobs made ready; done" not in site.text("/jobs"):
        pass
    assert {job.refresh().state for job in jobs} == {"ready"}


def test_a_change_that_fails_says_so(site: Site, shop: TestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it fails with: it would be shown as running for ever."""

    def fail(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Portions, "next", fail)
    site.post("/jobs/bulk", verb="cancel", q="queue:slow", back="/jobs")
    while "failed: KeyError: 'a bug'" not in site.text("/jobs"):
        pass


def test_jobs_beyond_those_that_are_counted_can_be_changed(
    site: Site, shop: TestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "DEPTH", 1)
    job = shop.app.tasks["send"].enqueue(to="ada")
    shop.app.tasks["send"].enqueue(to="bob")
    text = site.text("/jobs/bulk?verb=cancel&q=args.to%3Dada")
    assert "Cancel 0+ jobs? " in text
    assert "There are more than were counted." in text
    assert "No job that matches" not in text
    site.post("/jobs/bulk", verb="cancel", q="args.to=ada", back="/jobs")
    while job.refresh().state != "cancelled":
        pass


def test_a_change_at_a_rate_can_be_stopped(site: Site, shop: TestStore) -> None:
    shop.app.enqueue_many(shop.app.tasks["send"].new(to=str(number)) for number in range(500))
    site.post("/jobs/bulk", verb="delete", q="task:send", rate="1", back="/jobs")
    [change] = site.client.get("/api/bulk").json()
    assert site.post(f"/bulk/{change['id']}/stop", back="/jobs") == "good: stopped"
    while "; stopped" not in site.text("/jobs"):
        pass
    [change] = site.client.get("/api/bulk").json()
    assert shop.app.jobs.count() == 500 - change["changed"] >= 490
    assert site.post("/bulk/2/stop", back="/jobs").startswith("bad: there is no change 2")


def test_a_change_that_ends_with_its_process_leaves_a_line_in_the_log(
    shop: TestStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Its page has gone with the process. What it has not reached is as it was, and its number is no other's."""
    shop.app.enqueue_many(shop.app.tasks["send"].new(to=str(number)) for number in range(3))
    numbers = set()
    for left in (2, 1):
        dashboard = make_dashboard(shop.app, only_loopback=True)
        with TestClient(dashboard, base_url=ORIGIN) as client:
            Site(client).post("/jobs/bulk", verb="cancel", q="task:send", rate="0.01", back="/jobs")
            while (change := client.get("/api/bulk").json()[0])["changed"] == 0:
                pass
            numbers.add(change["id"])
        assert shop.app.jobs.count(state="ready") == left
        assert caplog.messages[-1] == (
            f"this process ends, and with it what local began on the dashboard: 1 of {left + 1} jobs that match "
            "'task:send' were cancelled; the others are as they were, and the same change goes on with them"
        )
    assert len(numbers) == 2


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"verb": "delete", "q": ""}, "every job"),
        ({"verb": "cancel", "q": "state:dead"}, "a dead job cannot be cancelled"),
        ({"verb": "explode", "q": "task:send"}, "none of replay, cancel, run, delete"),
        ({"verb": "cancel", "q": "task:send", "rate": "-1"}, "more than 0"),
        ({"verb": "cancel", "q": "task:send", "rate": "nan"}, "more than 0"),
        ({"verb": "cancel", "q": "task:send", "rate": "fast"}, "a number of jobs a second"),
    ],
)
def test_a_change_that_cannot_be_meant(site: Site, shop: TestStore, fields: dict[str, str], why: str) -> None:
    shop.app.tasks["send"].enqueue(to="ada")
    assert why in site.post("/jobs/bulk", **fields)
    assert shop.app.jobs.count(state="ready") == 1


def test_a_schedule_is_paused_resumed_and_run(site: Site, shop: TestStore) -> None:
    app = shop.app
    app.schedules.create("digest", app.tasks["send"], Cron("0 8 * * *", args={"to": "ada"}))
    site.post("/schedules/pause", name="digest", back="/schedules")
    assert app.schedules.get("digest").is_paused
    assert "The schedule digest is paused" in site.text("/")
    site.post("/schedules/resume", name="digest")
    assert not app.schedules.get("digest").is_paused
    assert site.post("/schedules/run", name="digest") == "good: schedule digest run: its job is stored"
    assert app.jobs.count(task="send") == 1
    assert site.post("/schedules/run", name="none").startswith("bad: there is no schedule 'none'")


def test_every_action_leaves_a_line_in_the_audit(site: Site, shop: TestStore, caplog: pytest.LogCaptureFixture) -> None:
    job = dead_letter(shop)
    with caplog.at_level(logging.INFO, "turnspit.audit"):
        site.post(f"/jobs/{job.id}/replay")
        site.post("/jobs/bulk", verb="cancel", q='queue:"a\nforged line"')
    first, second = [record.getMessage() for record in caplog.records if record.name == "turnspit.audit"]
    assert first == f"action=replay who=local from=testclient job={job.id}"
    assert second.startswith("action='cancel many' who=local")
    assert "\n" not in second


def test_a_limit_is_changed_and_keeps_its_burst(shop: TestStore) -> None:
    @shop.app.task(rate=Rate(10, per=1.0, burst=2))
    def call() -> None: ...

    with TestClient(make_dashboard(shop.app, only_loopback=True), base_url=ORIGIN) as client:
        site = Site(client)
        assert 'name="burst" value="2"' in site.get("/queues")
        fields = {"name": "call", "kind": "rate", "per": "1.0", "burst": "2"}
        assert site.post("/limits/set", allowed="4", **fields) == "good: limit call changed"
        assert site.post("/limits/set", allowed="many", **fields) == "bad: a limit is a whole number"
        [limit] = shop.app.limits.list()
        assert (limit.allowed, limit.per, limit.burst, limit.is_changed) == (4, 1.0, 2, True)
        assert site.post("/limits/reset", name="call") == "good: limit call reset"
    assert not shop.app.limits.list()[0].is_changed


def test_a_worker_is_quieted_and_stopped(site: Site, shop: TestStore) -> None:
    engine = shop.app.engine
    new = NewWorker("web-1", 7, "0.1.0", None, frozenset({"send"}), 10, 60_000_000)
    worker = engine.write(engine.register_worker, new)
    engine.write(engine.renew_lease, worker, 60_000_000, 300 << 20)
    text = site.text("/workers")
    assert "web-1:7" in text
    assert "Memory 300 MiB" in text
    assert "ends with its last one" in site.post(f"/workers/{worker}/quiet")
    assert "asked to be quiet" in site.text("/workers")
    assert site.post(f"/workers/{worker}/stop") == f"good: worker {worker} was asked to stop"
    assert "live, asked to stop" in site.text("/workers")
    engine.write(engine.renew_lease, worker, 60_000_000, None, BlockedLoop(7_000_000, "job 1 (hang) at jobs.py:17"))
    text = site.text("/workers")
    assert "blocked, asked to stop" in text
    assert "by job 1 (hang) at jobs.py:17" in text
    assert site.post("/workers/77/stop").startswith("bad: no live worker has the id 77")
    assert site.client.post(f"/workers/{worker}/explode", headers={"Origin": ORIGIN}).status_code == 404
