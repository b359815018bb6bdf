"""The report of a soak."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from soak.fleet import Fault
from soak.page import _BEGIN, _END, rewrite
from soak.proof import Proof
from soak.report import Report, percentile


def make_report() -> Report:
    report = Report("make soak", "sqlite", "2 cores", 120.0)
    report.samples = [{"at": at * 1.0, "ended": at * 100, "rss": {"worker 1": 50.0}} for at in range(10)]
    report.faults = [Fault("worker killed", 3.0, 4.5), Fault("worker killed", 6.0, 5.5)]
    report.proof = Proof({"accepted": 1000}, {"lost": 0}, {})
    return report


def test_a_report_is_a_document_a_page_and_a_picture(tmp_path: Path) -> None:
    files = make_report().write(tmp_path)
    assert [path.name for path in files] == ["soak-sqlite.json", "soak-sqlite.md", "soak-sqlite.svg"]
    document = json.loads(files[0].read_text())
    assert document["holds"] is True
    assert document["recovery"] == {"worker killed": {"count": 2, "p50": 4.5, "p99": 5.5}}
    assert "| worker killed | 2 | 4.5 s | 5.5 s |" in files[1].read_text()
    assert ElementTree.parse(files[2]).getroot().tag.endswith("svg")


def test_what_nobody_meant_to_happen_fails_a_soak() -> None:
    report = make_report()
    assert report.holds
    report.unexpected.append("worker 1 ended by itself")
    assert not report.holds
    assert "worker 1 ended by itself" in report.as_page()


def test_a_broken_sentence_fails_a_soak() -> None:
    report = make_report()
    report.proof = Proof({}, {"lost": 1}, {"lost": [7]})
    assert not report.holds


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_the_page_gets_the_reports_between_its_marks() -> None:
    page = f"before\n{_BEGIN}\nold\n{_END}\nafter\n"
    once = rewrite(page, {"sqlite": "the report\n"})
    assert "the report" in once
    assert "old" not in once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert rewrite(once, {"sqlite": "the report\n"}) == once
    with pytest.raises(ValueError, match="no <!-- begin"):
        rewrite("nothing here", {})
