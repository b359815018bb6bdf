"""What somebody who scrapes metrics sees."""

import re
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.fleet import Fleet

__all__ = ["Samples", "read", "scrape", "scrape_fleet"]

Samples = dict[tuple[str, ...], float]
"""By name and the values of the labels, sorted by the labels' names."""


def read(text: str) -> Samples:
    """The samples of an answer."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(address: str) -> Samples:
    """The samples at an address."""
    with urlopen(address, timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return read(answer.read().decode())


def scrape_fleet(fleet: Fleet) -> Samples:
    """The samples where a worker or a supervisor says that it shows them."""
    said = re.search(r"metrics are shown at (\S+)", fleet.so_far())
    address = said[1] if said else fleet.hear("metrics are shown at").rpartition(" ")[2]
    return scrape(address)
