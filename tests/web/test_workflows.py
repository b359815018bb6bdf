"""The screens of workflows: the list, the graph of one, and going on where it failed."""

import pytest

from tests.web.conftest import ORIGIN, Site
from turnspit import GiveUp
from turnspit.testing import TestStore
from turnspit.web.graphs import layers_of


def make_flow(shop: TestStore) -> int:
    """One job that completes, one that dies, and one that waits for both."""
    app, is_down = shop.app, [True]

    @app.task
    def charge(amount: int) -> int:
        return amount

    @app.task
    def reserve(shelf: str) -> str:
        if is_down[0]:
            is_down[0] = False
            raise GiveUp("the shelf is empty")
        return shelf

    @app.task
    def ship(paid: int, goods: str) -> str:
        return f"{goods} for {paid}"

    with app.workflow("fulfil <b>") as flow:
        first = flow.add(charge.new(amount=7), name="charge")
        second = flow.add(reserve.new(shelf="3"), name="reserve")
        flow.add(ship.new(paid=first.result, goods=second.result), name="ship")
    return flow.id


def test_a_workflow_is_shown_as_a_graph(site: Site, shop: TestStore) -> None:
    assert "There are no workflows" in site.text("/workflows")
    number = make_flow(shop)
    assert f"{number} fulfil <b> running 3 0 %" in site.text("/workflows")
    page = site.get(f"/workflows/{number}")
    assert page.count('class="node ') == 3
    assert page.count('class="edge open"') == 2
    assert 'class="node blocked"' in page
    assert "<b>" not in page
    job = shop.app.workflows.get(number).jobs[0].id
    assert f'href="/workflows/{number}"' in site.get(f"/jobs/{job}")
    assert site.get(f"/jobs?q=workflow:{number}").count("data-row") == 3
    assert "there is no workflow 77" in site.text("/workflows/77", 404)


def test_one_that_stands_still_is_found_from_the_overview(site: Site, shop: TestStore) -> None:
    @shop.app.task
    def charge() -> None:
        raise GiveUp("the bank is closed")

    with shop.app.workflow("fulfil") as flow:
        first = flow.add(charge.new())
        flow.add(charge.new(), after=[first], on_failure="wait")
    assert "will not go on" not in site.text("/")
    shop.drain()
    assert f"The workflow fulfil ({flow.id}) will not go on by itself Job {first.id}" in site.text("/")
    assert f'href="/workflows/{flow.id}"' in site.get("/")
    site.post(f"/workflows/{flow.id}/replay")
    assert "will not go on" not in site.text("/")


def test_it_goes_on_where_it_failed(site: Site, shop: TestStore) -> None:
    number = make_flow(shop)
    shop.drain()
    text = site.text(f"/workflows/{number}")
    assert "failed" in text
    assert "Replay what failed" in text
    assert site.post(f"/workflows/{number}/replay", back=f"/workflows/{number}").endswith("goes on where it failed")
    for _ in range(3):
        shop.maintain()
        shop.drain()
    assert shop.app.workflows.get(number).state == "completed"
    assert "Done 100 % of 3 jobs" in site.text(f"/workflows/{number}")
    assert site.post(f"/workflows/{number}/cancel").startswith(f"bad: workflow {number}")
    assert site.post(f"/workflows/{number}/again") == f"good: workflow {number} begins again"


def test_it_is_cancelled(site: Site, shop: TestStore) -> None:
    number = make_flow(shop)
    assert site.post(f"/workflows/{number}/cancel") == f"good: workflow {number} cancelled"
    assert "cancelled on the dashboard" in site.text(f"/workflows/{number}")


def test_the_api_has_the_same(site: Site, shop: TestStore) -> None:
    number = make_flow(shop)
    client, own = site.client, {"Origin": ORIGIN}
    [found] = client.get("/api/workflows", params={"finished": "false"}).json()["workflows"]
    assert (found["id"], found["total"], found["state"]) == (number, 3, "running")
    details = client.get(f"/api/workflows/{number}").json()
    assert [job["name"] for job in details["jobs"]] == ["charge", "reserve", "ship"]
    assert len(details["edges"]) == 2
    answer = client.post(f"/api/workflows/{number}/cancel", json={"reason": "no more"}, headers=own)
    assert (answer.json()["state"], answer.json()["reason"]) == ("cancelled", "no more")
    assert client.post(f"/api/workflows/{number}/cancel", json={}, headers=own).status_code == 409
    assert client.post("/api/workflows/77/replay", json={}, headers=own).status_code == 404


def test_a_large_one_is_a_table(site: Site, shop: TestStore) -> None:
    send = shop.app.tasks["send"]
    with shop.app.workflow("many") as flow:
        flow.add_many(send.new(to=str(number)) for number in range(320))
    page = site.get(f"/workflows/{flow.id}")
    assert "too large to be drawn: these are 300 of its 320 jobs" in page
    assert '<svg class="graph"' not in page
    following = page.partition("after=")[2].partition('"')[0]
    last = site.get(f"/workflows/{flow.id}?after={following}")
    assert (last.count("data-row"), "More jobs" in page, "More jobs" in last) == (20, True, False)


@pytest.mark.parametrize(
    ("jobs", "edges", "layers"),
    [
        ([1, 2, 3], [], [[1, 2, 3]]),
        ([1, 2, 3], [(1, 2), (2, 3), (1, 3)], [[1], [2], [3]]),
        ([1, 2, 3, 4], [(1, 4), (2, 3)], [[1, 2], [4, 3]]),
        ([1], [(7, 1)], [[1]]),
    ],
)
def test_each_job_stands_behind_what_it_waits_for(
    jobs: list[int], edges: list[tuple[int, int]], layers: list[list[int]]
) -> None:
    assert layers_of(jobs, edges) == layers
