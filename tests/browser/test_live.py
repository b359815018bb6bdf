"""A page that stays open goes on being live."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Shop

ENGINES = ["sqlite"]


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    """Without the watch for errors: here the server has some."""
    context = browser.new_context(base_url=shop.url)
    yield context.new_page()
    context.close()


def test_it_connects_again_after_a_deploy_and_rows_of_one_key_all_stay(page: Page) -> None:
    """A proxy answers 502 while there is no server behind it: browsers give up an event stream then."""
    asked = 0

    def answer(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            route.fulfill(status=502)
            return
        html = "".join(f'<p data-key="[hidden]">{letter} of {min(asked, 4)}</p>' for letter in "abc")
        body = f"retry: 50\nevent: page\ndata: {json.dumps(html)}\n\n"
        route.fulfill(content_type="text/event-stream", body=body)

    page.clock.install()
    page.route("**/live?*", answer)
    page.goto("/")
    expect(page.locator("#pulse")).to_have_text("not connected")
    page.clock.run_for(6000)
    expect(page.locator("#live p")).to_have_text(["a of 4", "b of 4", "c of 4"])


def test_it_asks_again_where_the_server_wants_that_and_stays_live(page: Page) -> None:
    """As a browser that connects again by itself, it said for three seconds that it was not connected."""
    asked = 0

    def answer(route: Route) -> None:
        nonlocal asked
        asked += 1
        body = f'retry: 600000\nevent: page\ndata: "<p>{asked}</p>"\n\n' + ('event: again\ndata: ""\n\n' * (asked < 3))
        route.fulfill(content_type="text/event-stream", body=body)

    page.route("**/live?*", answer)
    page.goto("/")
    expect(page.locator("#live p")).to_have_text("3")
