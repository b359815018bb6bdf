"""What axe-core says of a page: contrast, names, roles, sizes."""

from functools import cache

from playwright.sync_api import Page

from tests.npm import unpack_npm

__all__ = ["violations"]

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = "only => axe.run(document, {runOnly: only, resultTypes: ['violations']})"


def violations(page: Page, *, colours_only: bool = False) -> list[str]:
    """What is wrong with the page as it is now; playwright's own evaluation is not what the page's policy forbids.

    :param colours_only: everything else has been looked at, in another colour scheme.
    """
    page.evaluate(_script())
    answer = page.evaluate(_RUN, ["color-contrast"] if colours_only else _RULES)
    return [
        f"{page.url}: {each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in answer["violations"]
    ]


@cache
def _script() -> str:
    return (unpack_npm("axe-core", "4.14.1") / "axe.min.js").read_text()
