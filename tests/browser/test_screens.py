"""Every screen in a real browser: it fits, is quiet, and asks nobody else."""

from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Shop
from turnspit.records import NewJob

SCREENS = [
    "/",
    "/jobs",
    "/jobs?q=task:charge_payment",
    "/jobs/{dead}",
    "/jobs/{dead}/duplicate",
    "/dead",
    "/jobs/bulk?verb=replay&q=state:dead",
    "/queues",
    "/queue?name=payments",
    "/schedules",
    "/workflows",
    "/workflows/1",
    "/workers",
    "/metrics",
    "/nowhere",
]


def test_every_screen_fits_a_phone_and_is_accessible_there(browser: Any, shop: Shop) -> None:
    dead = shop.scene.app.jobs.list(state="dead", limit=1)[0].id
    page = browser.new_page(base_url=shop.url, viewport={"width": 390, "height": 844})
    wide, found = [], []
    for path in SCREENS:
        page.goto(path.format(dead=dead), wait_until="domcontentloaded")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 390:
            wide.append((path, width))
        found += violations(page)
    page.close()
    assert wide == []
    assert found == [], "\n".join(found)


def test_names_may_be_long_and_what_a_button_asks_fits(browser: Any, shop: Shop) -> None:
    engine, name = shop.scene.app.engine, "w" * 255
    job = shop.call(engine.write, engine.insert_job, NewJob(name, name, "{}")).id
    wide = []
    for width in (1280, 360):
        page = browser.new_page(base_url=shop.url, viewport={"width": width, "height": 820})
        for path in ("/jobs", "/queues", f"/queue?name={name}", f"/jobs/{job}"):
            page.goto(path, wait_until="domcontentloaded")
            page.evaluate("document.querySelectorAll('details.sure').forEach(each => each.open = true)")
            found = page.evaluate("document.documentElement.scrollWidth")
            if found > width:
                wide.append((path, width, found))
        page.close()
    shop.call(shop.scene.app.jobs.delete, job)
    assert wide == []


def test_every_screen_is_quiet(page: Page, shop: Shop) -> None:
    """No error in the console, no request to another host: the fixture looks."""
    dead = shop.scene.app.jobs.list(state="dead", limit=1)[0].id
    for path in SCREENS[:-1]:
        with page.expect_response(lambda answer: "/static/turnspit.js" in answer.url or answer.status == 200):
            page.goto(path.format(dead=dead))
        expect(page.locator("h1")).to_be_visible()


def test_without_a_script_everything_can_be_read_and_pressed(browser: Any, shop: Shop) -> None:
    context: BrowserContext = browser.new_context(base_url=shop.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("link", name="Dead letters").first.click()
    page.get_by_role("link", name="Sample").first.click()
    expect(page.locator("h1")).to_contain_text("Job")
    expect(page.get_by_role("button", name="Copy as Python")).to_have_count(0)
    page.get_by_role("link", name="Schedules").click()
    page.get_by_role("row", name="poll_stock").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_have_text("schedule poll_stock paused")
    page.get_by_role("row", name="poll_stock").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_have_text("schedule poll_stock resumed")
    context.close()


def test_colours_are_the_systems_until_somebody_chooses(page: Page) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.querySelector('.panel')).backgroundColor"))

    page.emulate_media(color_scheme="light")
    page.goto("/queues")
    light = ground()
    page.emulate_media(color_scheme="dark")
    dark = ground()
    assert light != dark
    page.get_by_role("button", name="System").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.get_by_role("button", name="Light")).to_be_visible()
    assert ground() == light
