"""Every screen as axe-core judges it. ``test_screens`` asks it at a phone's width, ``conftest`` after each action."""

from typing import Any

from tests.browser.axe import violations
from tests.browser.conftest import Shop
from tests.browser.test_screens import SCREENS


def test_every_screen_is_accessible(browser: Any, shop: Shop) -> None:
    dead = shop.scene.app.jobs.list(state="dead", limit=1)[0].id
    page = browser.new_page(base_url=shop.url, viewport={"width": 1280, "height": 820}, color_scheme="light")
    found: list[str] = []
    for path in SCREENS:
        page.goto(path.format(dead=dead), wait_until="domcontentloaded")
        found += violations(page)
        page.emulate_media(color_scheme="dark")
        found += violations(page, colours_only=True)
        page.emulate_media(color_scheme="light")
    page.close()
    assert found == [], "\n".join(found)
