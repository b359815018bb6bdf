"""What a person does, in a real browser, with the mouse and with the keys."""

import contextlib
import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Shop
from turnspit.errors import MoveNotAllowed


def status(page: Page, text: str) -> None:
    expect(page.locator("p.flash[role=status]")).to_have_text(re.compile(text))


def test_from_the_overview_to_a_replayed_group(page: Page, shop: Shop) -> None:
    before = shop.scene.app.jobs.count(state="dead", error="UnidentifiedImageError")
    assert before
    page.goto("/")
    problem = page.locator(".attention li", has_text="UnidentifiedImageError")
    problem.get_by_role("link", name="Replay").click()
    expect(page.locator("h1")).to_have_text(f"Replay {before} jobs?")
    page.get_by_role("button", name=f"Replay {before} jobs").click()
    status(page, "the jobs are being replayed")
    expect(page.locator(".bulk")).to_contain_text(f"{before} of {before} jobs replayed; done")
    assert shop.scene.app.jobs.count(state="dead", error="UnidentifiedImageError") == 0


def test_a_job_is_replayed_cancelled_changed_and_deleted(page: Page, shop: Shop) -> None:
    job = shop.enqueue("make_invoice", delay=3600, order_id=1)
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("Change…").click()
    page.get_by_label("Priority").fill("12")
    page.get_by_role("button", name="Change", exact=True).click()
    status(page, f"job {job.id} changed")
    assert job.refresh().priority == 12
    page.get_by_role("button", name="Run now").click()
    status(page, "made ready")
    page.get_by_role("button", name="Cancel").click()
    status(page, "cancelled")
    page.get_by_role("button", name="Replay").click()
    status(page, "replayed")
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete for good").click()
    status(page, f"job {job.id} deleted")
    expect(page.locator("h1")).to_have_text("Jobs")


def test_edit_and_duplicate_keeps_what_is_hidden(page: Page, shop: Shop) -> None:
    job = shop.enqueue("charge_payment", order_id=7, amount=1.5, card="4111")
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("link", name="Edit and duplicate").click()
    arguments = page.get_by_label("Arguments")
    arguments.fill(arguments.input_value().replace("1.5", "2.5"))
    page.get_by_role("button", name="Enqueue").click()
    status(page, f"a copy of job {job.id}")
    copy = shop.scene.app.jobs.get(int(page.url.rpartition("/")[2]))
    assert copy.args == {"order_id": 7, "amount": 2.5, "card": "4111"}
    shop.scene.app.jobs.delete(job.id)
    shop.scene.app.jobs.delete(copy.id)


def test_ticked_jobs_stay_ticked_while_the_page_changes(page: Page, shop: Shop) -> None:
    jobs = [shop.enqueue("daily_report", queue="ticks", delay=3600) for _ in range(2)]
    page.goto("/jobs?q=queue:ticks")
    box = page.get_by_label(f"Tick job {jobs[0].id}")
    box.check()
    other = shop.enqueue("daily_report", queue="ticks", delay=3600)
    expect(page.get_by_label(f"Tick job {other.id}")).to_be_visible()  # it came by itself
    expect(box).to_be_checked()
    expect(page.locator("#pulse")).to_have_text("live")
    page.get_by_role("button", name="Cancel", exact=True).click()
    status(page, "1 job cancelled")
    assert [job.refresh().state for job in jobs] == ["cancelled", "scheduled"]


def test_what_was_opened_and_typed_stays_while_the_page_changes(page: Page, shop: Shop) -> None:
    app = shop.scene.app
    job = shop.enqueue("daily_report", delay=3600)
    page.goto(f"/jobs/{job.id}")
    page.get_by_text("Change…").click()
    page.get_by_label("Queue", exact=True).fill("half-typed")
    app.jobs.update(job.id, priority=77)
    expect(page.locator(".facts")).to_contain_text("priority 77")
    expect(page.get_by_label("Queue", exact=True)).to_have_value("half-typed")
    app.jobs.delete(job.id)


def test_keys(page: Page, shop: Shop) -> None:
    page.goto("/jobs?q=state:completed")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    rows = page.locator("[data-row]")
    expect(rows.first).to_have_class("marked")
    page.keyboard.press("x")
    expect(rows.first.get_by_role("checkbox")).to_be_checked()
    page.keyboard.press("r")
    expect(page.get_by_role("button", name="Replay")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    number = rows.first.get_attribute("data-key")
    page.locator("h1").click()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(f"Job {number}")
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.locator("h1")).to_have_text("Dead letters")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text("Jobs")
    page.keyboard.press("/")
    expect(page.get_by_label("Look for jobs")).to_be_focused()
    page.goto("/queues")
    expect(page.locator("#pulse")).to_have_text("live")
    page.keyboard.press("/")
    expect(page.get_by_label("Look for jobs")).to_be_focused()


def test_the_search_box_knows_what_there_is(page: Page) -> None:
    page.goto("/jobs")
    box = page.get_by_label("Look for jobs")
    box.fill("sta")
    page.get_by_role("option", name="state:").click()
    page.get_by_role("option", name="state:dead").click()
    box.press_sequentially("task:charge")
    page.get_by_role("option", name="state:dead task:charge_payment").click()
    box.press("Enter")
    expect(page.locator(".tabs [aria-current]")).to_have_text("dead")
    expect(page.locator("tbody tr").first).to_contain_text("charge_payment")


def test_a_queue_is_paused_and_resumed(page: Page, shop: Shop) -> None:
    page.goto("/queue?name=invoices")
    page.get_by_role("button", name="Pause").click()
    status(page, "queue invoices paused")
    page.goto("/")
    problem = page.locator(".attention li", has_text="The queue invoices is paused")
    problem.get_by_role("button", name="Resume").click()
    status(page, "queue invoices resumed")
    assert shop.scene.app.queues.paused() == []


def test_a_limit_is_changed_and_reset(page: Page, shop: Shop) -> None:
    page.goto("/queues")
    page.get_by_label("Allowed for queue reports").fill("5")
    page.get_by_role("button", name="Set").click()
    status(page, "limit queue reports changed")
    [limit] = shop.scene.app.limits.list()
    assert (limit.allowed, limit.declared) == (5, 2)
    page.get_by_role("button", name="Reset").click()
    status(page, "limit queue reports reset")


def test_copy(page: Page, shop: Shop) -> None:
    job = shop.scene.app.jobs.list(state="dead", task="charge_payment", limit=1)[0]
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Copy as command").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert str(page.evaluate("navigator.clipboard.readText()")).startswith(
        "turnspit enqueue shop.jobs:app charge_payment"
    )


def test_a_page_that_nobody_sees_asks_nothing(page: Page, shop: Shop) -> None:
    with page.expect_request(re.compile("/live")) as asked:
        page.goto("/")
    expect(page.locator("#pulse")).to_have_text("live")
    with page.expect_event("requestfailed", lambda request: request == asked.value):  # it hangs up
        page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    with page.expect_request(re.compile("/live")):
        page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_group_is_deleted_at_a_chosen_rate_and_stopped(page: Page, shop: Shop) -> None:
    app = shop.scene.app
    before = app.jobs.count(state="dead", error="HTTPStatusError")
    assert before >= 3
    page.goto("/dead")
    page.locator("tr", has_text="HTTPStatusError").get_by_role("link", name="Delete").click()
    page.get_by_label("At most this many jobs a second").fill("0.01")
    page.get_by_role("button", name=f"Delete {before} jobs").click()
    change = page.locator(".bulk", has_text="HTTPStatusError")
    expect(change).to_contain_text(f"1 of {before} jobs deleted, 0.01 a second")
    change.get_by_role("button", name="Stop").click()
    expect(change).to_contain_text("stopped")
    assert app.jobs.count(state="dead", error="HTTPStatusError") == before - 1


def test_a_workflow_is_cancelled_and_goes_on_where_it_was(page: Page, shop: Shop) -> None:
    workflow = shop.scene.app.workflows.list(name="import catalogue")[0].id
    with contextlib.suppress(MoveNotAllowed):  # another test may have replayed its dead job
        shop.scene.app.workflows.replay(workflow)
    page.goto("/workflows")
    page.locator("tr", has_text="import catalogue").get_by_role("link", name=str(workflow), exact=True).click()
    expect(page.locator("h1")).to_have_text(f"Workflow {workflow}")
    expect(page.locator("svg.graph .blocked")).not_to_have_count(0)
    page.get_by_role("button", name="Cancel", exact=True).click()
    status(page, f"workflow {workflow} cancelled")
    expect(page.locator("svg.graph .blocked")).to_have_count(0)
    page.get_by_role("button", name="Replay what failed").click()
    status(page, "goes on where it failed")
    expect(page.locator("svg.graph .blocked")).not_to_have_count(0)


def test_a_worker_is_quieted_and_stopped(page: Page) -> None:
    page.goto("/workers")
    worker = page.locator(".worker", has_text="web-2:1877")
    worker.get_by_role("button", name="Quiet").click()
    status(page, "takes no more jobs")
    expect(worker).to_contain_text("asked to be quiet")
    worker.get_by_text("Stop…").click()
    worker.get_by_role("button", name="Stop", exact=True).click()
    status(page, "was asked to stop")
    expect(worker).to_contain_text("asked to stop")


def test_a_schedule_is_run_now(page: Page, shop: Shop) -> None:
    before = shop.scene.app.jobs.count(task="clean_up")
    page.goto("/schedules")
    page.get_by_role("row", name="clean_up").get_by_role("button", name="Run now").click()
    status(page, "schedule clean_up run")
    assert shop.scene.app.jobs.count(task="clean_up") == before + 1


def test_who_is_typing_keeps_the_focus_while_what_stands_before_goes_away(page: Page, shop: Shop) -> None:
    queues = shop.scene.app.queues
    shop.call(queues.pause, "reports")
    page.goto("/queues")
    expect(page.locator("#live h2", has_text="Paused")).to_have_count(1)
    page.get_by_label("named").focus()
    page.keyboard.type("resize")
    shop.call(queues.resume, "reports")
    expect(page.locator("#live h2", has_text="Paused")).to_have_count(0)
    page.keyboard.type("_photo")
    expect(page.get_by_label("named")).to_have_value("resize_photo")


def test_a_task_is_paused_by_its_name(page: Page, shop: Shop) -> None:
    page.goto("/queues")
    page.get_by_label("Pause a").select_option("task")
    page.get_by_label("named").fill("resize_photo")
    page.get_by_role("button", name="Pause").click()
    status(page, "task resize_photo paused")
    page.goto("/")
    page.locator(".attention li", has_text="The task resize_photo is paused").get_by_role("button").click()
    status(page, "task resize_photo resumed")
    assert shop.scene.app.queues.paused() == []
