"""What each screen shows, and that nothing a job carries is taken for markup."""

from datetime import timedelta
from string import ascii_lowercase
from typing import Any

import pytest

from tests.web.conftest import Site, text_of
from turnspit import Cron, Retry
from turnspit.records import DeadGroupRecord, NewWorker
from turnspit.testing import TestStore
from turnspit.web.reading.jobs import JobReader

EVIL = "<script>alert(1)</script>'\"&"


def test_an_empty_store_says_what_to_do(site: Site) -> None:
    assert "All is well" in site.text("/")
    assert "There are no jobs yet" in site.text("/jobs")
    assert "There are no dead letters" in site.text("/dead")
    assert "No worker runs" in site.text("/workers")
    assert "There are no schedules" in site.text("/schedules")
    assert "There are no workflows" in site.text("/workflows")
    assert "No queue of this name" in site.text("/queue?name=none")
    assert "No attempt ended" in site.text("/metrics")


def test_waiting_jobs_without_a_worker_come_first(site: Site, shop: TestStore) -> None:
    shop.app.tasks["send"].enqueue(to="ada")
    text = site.text("/")
    assert "No worker is running, and 1 job waits" in text
    assert "turnspit worker shop:app" in text
    assert text.index("No worker is running") < text.index("Waiting 1 job ")


def test_of_many_groups_of_dead_letters_the_newest_are_shown(
    site: Site, shop: TestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three thousand were three megabytes at each live update, and to look for hidden values in all was seconds."""
    read, looked_at = JobReader._group, list[str]()

    def note(self: JobReader, group: DeadGroupRecord, **options: Any) -> Any:
        looked_at.append(group.fingerprint)
        return read(self, group, **options)

    monkeypatch.setattr(JobReader, "_group", note)

    @shop.app.task(retry=Retry(attempts=1))
    async def fail(why: str) -> None:
        raise ValueError(why)

    words = [first + second for first in ascii_lowercase[:15] for second in ascii_lowercase[:14]]
    shop.app.enqueue_many(fail.new(why=word) for word in words)
    shop.drain()
    page = site.get("/dead")
    assert page.count("data-row") == 200
    assert "210 dead letters in 210 groups" in text_of(page)
    assert "The 200 newest groups, of 210" in text_of(page)
    assert "197+ more groups of dead letters within the last hour" in site.text("/")
    assert len(looked_at) == 400
    assert len(site.client.get("/api/dead").json()["groups"]) == 210


def test_a_dead_letter_is_found_from_the_overview(site: Site, shop: TestStore) -> None:
    job = shop.app.tasks["send"].enqueue(to="nobody", order_id=7)
    for _ in range(12):
        shop.drain()
        shop.advance(timedelta(hours=2))
    assert job.refresh().state == "dead"
    text = site.text("/dead")
    assert "1 dead letter in 1 group" in text
    assert "TimeoutError : the mail server did not answer" in text
    details = site.text(f"/jobs/{job.id}")
    for part in (
        "TimeoutError",
        "attempt 10 dead",
        "Traceback",
        '"order_id": 7',
        "send.using(queue='email')",
        "Replay",
    ):
        assert part in details, part


def test_jobs_are_found_by_what_was_typed(site: Site, shop: TestStore) -> None:
    send = shop.app.tasks["send"]
    one = send.using(tags=["vip"]).enqueue(to="ada", order_id=7)
    other = send.using(queue="slow", delay=3600).enqueue(to="bob", order_id=8)
    for typed, found in (
        ("", [one, other]),
        ("args.order_id=7", [one]),
        ("args.to=bob", [other]),
        ("tag:vip", [one]),
        ("queue:slow", [other]),
        ("state:scheduled", [other]),
        ("ready", [one]),
        ("task:send", [one, other]),
        (str(one.id), [one]),
        ("since:1h", [one, other]),
        ("before:1h", []),
        ("task:other", []),
    ):
        html = site.get(f"/jobs?q={typed}")
        assert [job for job in (one, other) if f'data-key="{job.id}"' in html] == found, typed


def test_a_search_that_means_nothing_is_explained(site: Site) -> None:
    for typed, why in (
        ("colour:red", "means nothing here"),
        ("state:red", "no state is named"),
        ("id:x", "no job's id"),
        ("since:tomorrow", "no time"),
        ("%22a", "quotation mark"),
    ):
        assert why in site.text(f"/jobs?q={typed}", 400), typed


def test_pages_follow_each_other(site: Site, shop: TestStore) -> None:
    ids = shop.app.enqueue_many(shop.app.tasks["send"].new(to=str(number)) for number in range(70))
    assert f'data-key="{ids[-1]}"' in site.get("/jobs")
    older = site.get(f"/jobs?before={ids[-50]}")
    assert f'data-key="{ids[0]}"' in older
    assert f'data-key="{ids[-50]}"' not in older


def test_latencies_and_throughput(site: Site, shop: TestStore) -> None:
    shop.app.enqueue_many(shop.app.tasks["send"].new(to="ada") for _ in range(5))
    shop.advance(2)
    shop.drain()
    text = site.text("/metrics")
    assert "Completed 5 attempts" in text
    assert "Wait p50 2.0 s" in text
    assert "send" in site.text("/queue?name=email")
    assert site.text("/metrics?span=1440").startswith("Metrics")


def test_nothing_that_a_job_carries_is_markup(site: Site, shop: TestStore) -> None:
    @shop.app.task(name=EVIL, queue=EVIL)
    def fails(text: str) -> None:
        raise RuntimeError(EVIL)

    job = fails.using(tags=[EVIL], metadata={EVIL: EVIL}).enqueue(text=EVIL)
    for _ in range(12):
        shop.drain()
        shop.advance(timedelta(hours=2))
    fails.enqueue(text=EVIL)
    pages = ["/", "/jobs", f"/jobs/{job.id}", f"/jobs/{job.id}/duplicate", "/dead", "/queues", "/workers", "/metrics"]
    pages += ["/jobs?q=" + EVIL.replace("&", "%26"), "/queue?name=" + EVIL.replace("&", "%26")]
    for page in pages:
        answer = site.client.get(page, headers={"Accept": "text/html"})
        assert "<script>alert" not in answer.text, page
        assert answer.status_code in (200, 400), page
        assert site.client.get("/live", params={"page": page, "once": "1"}).text.count("<script>alert") == 0


def test_what_is_large_is_shown_in_part(site: Site, shop: TestStore) -> None:
    job = shop.app.tasks["send"].enqueue(to="x" * 500_000 + "!")
    shop.drain()
    page = f"/jobs/{job.id}"
    assert len(site.get(page)) < 80_000
    text = site.text(page)
    assert text.count("The first 20,000 of 500,0") == 2  # the arguments, and the result
    assert "Too much to copy from here" in text
    assert f'href="/api{page}">all of them' in site.get(page)
    assert site.client.get(f"/api{page}").json()["args"]["to"].endswith("x!")
    assert "x!" in site.text(f"{page}/duplicate")


def test_schedules_show_their_next_ticks(site: Site, shop: TestStore) -> None:

    shop.app.schedules.create(
        "digest", shop.app.tasks["send"], Cron("0 8 * * mon", tz="Asia/Tokyo", args={"to": "ada"})
    )
    text = site.text("/schedules")
    assert "digest created at run time" in text
    assert "0 8 * * mon Asia/Tokyo" in text
    assert text.count("UTC") == 4  # the ticks behind the next one


def test_of_many_queues_and_schedules_some_are_shown(site: Site, shop: TestStore) -> None:
    """A queue for each customer, and a schedule for each user: a page of all took seconds to draw."""
    send = shop.app.tasks["send"]
    shop.app.enqueue_many(send.using(queue=f"q{number:03}").new(to="ada") for number in range(201))
    send.using(queue="q200").enqueue(to="bob")
    for page in ("/", "/queues"):
        text = site.text(page)
        assert "The 200 queues with the most jobs, of 201" in text
        assert ("q200" in text, "q199 " in text, "q198 " in text) == (True, False, True)
    for number in range(201):
        due = shop.now + timedelta(hours=300 - number)
        rule = Cron(f"{due.minute} {due.hour} {due.day} {due.month} *", args={"to": "ada"})
        shop.app.schedules.create(f"digest-{number:03}", send, rule)
    text = site.text("/schedules")
    assert "The 200 of 201 whose next tick comes first; turnspit schedules list shop:app has all." in text
    assert ("digest-000" in text, text.index("digest-200") < text.index("digest-001")) == (False, True)
    assert len(site.client.get("/api/schedules").json()) == len(site.client.get("/api/queues").json()) == 201


def test_a_page_that_is_not_there(site: Site) -> None:
    assert "there is no page /nowhere" in site.text("/nowhere", 404)
    assert "there is no job 4711" in site.text("/jobs/4711", 404)
    assert "there is no job" in site.text("/jobs/9223372036854775808", 404)


@pytest.mark.parametrize("page", ["/", "/jobs", "/dead", "/queues", "/schedules", "/workers", "/metrics"])
def test_what_is_live_is_the_same_part_of_the_page(site: Site, shop: TestStore, page: str) -> None:
    shop.app.tasks["send"].enqueue(to="ada")
    part = site.client.get("/live", params={"page": page, "once": "1"}).text
    assert part.strip()
    assert part.strip() in site.get(page)


def test_workers_that_ended_are_below_those_that_are_there(site: Site, shop: TestStore) -> None:
    engine = shop.app.engine
    for number in range(1, 4):
        new = NewWorker(f"web-{number}", 7, "0.1.0", None, frozenset({"send"}), 9, 60_000_000)
        engine.write(engine.register_worker, new)
    engine.write(engine.retire_worker, 3)
    text = site.text("/workers")
    assert text.index("web-2:7") < text.index("web-1:7") < text.index("web-3:7")
