"""Every screen as axe-core judges it: contrast, names, roles, sizes. What a screen is drawn from is any engine's."""

from typing import Any

import pytest

from tests.browser.conftest import Shop
from tests.browser.test_screens import SCREENS
from tests.npm import unpack_npm

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

ENGINES = ["sqlite"]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_every_screen_is_accessible(browser: Any, shop: Shop, scheme: Any, width: int) -> None:
    script = (unpack_npm("axe-core", "4.14.1") / "axe.min.js").read_text()
    dead = shop.scene.app.jobs.list(state="dead", limit=1)[0].id
    found: list[str] = []
    size = {"width": width, "height": 820}
    page = browser.new_page(base_url=shop.url, viewport=size, color_scheme=scheme, bypass_csp=True)
    for path in SCREENS:
        page.goto(path.format(dead=dead), wait_until="domcontentloaded")
        page.evaluate(script)
        answer = page.evaluate("rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", RULES)
        for each in answer["violations"]:
            found.append(f"{path}: {each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}")
    page.close()
    assert found == [], "\n".join(found)
