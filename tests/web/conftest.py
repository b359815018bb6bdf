"""The dashboard in this process: a browser without a browser."""

import re
import warnings
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from turnspit import Turnspit
from turnspit.testing import TestStore
from turnspit.web import CommandLine, make_dashboard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, which nothing else here needs
    from starlette.testclient import TestClient

ORIGIN = "http://localhost"


class Site:
    """A person at the dashboard."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, status: int = 200, **options: Any) -> str:
        """The page, as it is a second later: what many ask for is kept for one."""
        self.client.app._site.store.cache.forget()  # type: ignore[attr-defined]
        answer = self.client.get(path, headers={"Accept": "text/html"}, **options)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:500])
        return answer.text

    def text(self, path: str, status: int = 200) -> str:
        """What a person reads on the page: its main part, without tags."""
        return text_of(self.get(path, status))

    def post(self, path: str, **fields: Any) -> str:
        """Press a button; what the page says that comes then."""
        answer = self.client.post(path, data=fields, headers={"Origin": ORIGIN, "Accept": "text/html"})
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
        found = re.search(r'<p class="flash (good|bad)" role="status">(.*?)</p>', answer.text)
        return unescape(f"{found[1]}: {found[2]}") if found else ""


def text_of(html: str) -> str:
    """The main part of a page, without tags."""
    main = html.partition("<main")[2].partition("<dialog")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", "<main" + main)).split())


@pytest.fixture
def shop(turnspit_app: Turnspit, t: TestStore) -> TestStore:
    """A store with tasks that fail on demand."""

    @turnspit_app.task(queue="email", name="send")
    async def send(to: str, order_id: int = 0, password: str = "") -> str:
        if to == "nobody":
            raise TimeoutError("the mail server did not answer")
        return f"sent to {to}"

    return t


@pytest.fixture
def site(shop: TestStore) -> Iterator[Site]:
    """Somebody who may do everything."""
    dashboard = make_dashboard(shop.app, only_loopback=True, command_line=CommandLine(app="shop:app"))
    with TestClient(dashboard, base_url=ORIGIN) as client:
        yield Site(client)
