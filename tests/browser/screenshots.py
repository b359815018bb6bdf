"""Pictures of every screen, light and dark, at the width of a desk and of a phone: `make screenshots`."""

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.browser.chromium import chromium, served
from tests.browser.scene import shop_at_noon
from turnspit.web import CommandLine, make_dashboard

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "dashboard"
SCREENS = {
    "overview": "/",
    "jobs": "/jobs",
    "search": "/jobs?q=task%3Acharge_payment",
    "job": "/jobs/{dead}",
    "duplicate": "/jobs/{dead}/duplicate",
    "dead": "/dead",
    "replay": "/jobs/bulk?verb=replay&q=state%3Adead&back=/dead",
    "queues": "/queues",
    "queue": "/queue?name=payments",
    "schedules": "/schedules",
    "workflows": "/workflows",
    "workflow": "/workflows/1",
    "workers": "/workers",
    "metrics": "/metrics",
}
LONG = ("jobs", "search")
"""Of these only what is seen at once."""
WIDTHS = {"desktop": 1280, "phone": 390}


def main(names: list[str]) -> None:
    """Write the pictures of these screens, or of all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, shop_at_noon(f"sqlite:///{folder}/shop.db") as scene:
        dead = scene.app.jobs.list(state="dead", error="HTTPStatusError", limit=1)[0].id
        scene.app.engine.location = "/srv/shop/shop.db"  # the same on every machine
        dashboard = make_dashboard(scene.app, only_loopback=True, command_line=CommandLine(app="shop.jobs:app"))
        with served(dashboard) as url, chromium() as browser:
            for width_name, width in WIDTHS.items():
                for scheme in ("light", "dark"):
                    page = browser.new_page(
                        viewport={"width": width, "height": 820 if width > 500 else 844}, color_scheme=scheme
                    )
                    for name, path in SCREENS.items():
                        if names and name not in names:
                            continue
                        page.goto(url + path.format(dead=dead), wait_until="load")
                        _save(FOLDER / f"{name}-{width_name}-{scheme}.png", page.screenshot(full_page=name not in LONG))
                    page.close()


def _save(path: Path, picture: bytes) -> None:
    """With few colours, as it has: a third of the bytes."""
    with Image.open(BytesIO(picture)) as image:
        image.convert("RGB").quantize(240, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
