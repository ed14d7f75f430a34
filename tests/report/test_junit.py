"""JUnit: what a machine that shows tests makes of a run."""

from xml.etree import ElementTree

import pytest

from simian.report import render

from . import evacuations, records

ALL = {**records.ALL, **evacuations.ALL}
Element = ElementTree.Element


def suite(record: records.Record) -> Element:
    root = ElementTree.fromstring(render(record, "junit"))
    assert root.tag == "testsuites"
    (found,) = root
    return found


def ends(record: records.Record) -> dict[str, str]:
    """Case -> failure, error, skipped or nothing."""
    return {str(case.get("name")): "".join(child.tag for child in case) for case in suite(record).iter("testcase")}


@pytest.mark.parametrize("name", ALL)
def test_its_numbers_are_those_of_its_cases(name: str) -> None:
    found = suite(ALL[name]())
    assert int(found.get("tests", "")) == len(found.findall("testcase"))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(found.get(key, "")) == len(found.findall(f"testcase/{tag}"))


def test_a_run_that_held_has_no_failure_and_names_checks_and_faults() -> None:
    told = ends(records.held_gorilla())
    assert set(told.values()) == {""}
    assert list(told) == [
        "gorilla: users are served", "everything is put back", "streams start", "first tries", "latency",
        *(f"kill {node} (#{n}) was there, was felt, was undone" for n, node in enumerate(records.ZONE_A, 1)),
    ]  # fmt: skip


def test_a_broken_check_is_a_failure_with_its_numbers() -> None:
    found = suite(records.broken_chaos())
    failure = found.find("testcase[@name='streams start']/failure")
    assert failure is not None
    assert failure.get("message") == "must be >= 99.9 %: baseline 100 %, during 69.12 %, after 100 %, of 2901 readings"
    assert found.find("testcase[@name='latency']/failure") is None
    assert found.get("time") == "33.700"
    assert found.get("timestamp") == "2026-11-21T09:59:59+00:00"


DOUBTS = [
    ("unfelt chaos", "chaos: users are served", "error"),
    ("unfelt chaos", "pause cache-west-c (#1) was there, was felt, was undone", "error"),
    ("refused latency", "latency: users are served", "error"),
    ("refused latency", "everything is put back", "skipped"),
    ("leashed chaos", "chaos: users are served", "skipped"),
    ("stuck latency", "everything is put back", "error"),
    ("crashed gorilla", "gorilla: users are served", "error"),
    ("crashed kong", "everything is put back", "error"),
]


@pytest.mark.parametrize(("name", "case", "end"), DOUBTS)
def test_what_could_not_be_told_or_put_back_is_an_error_and_not_a_pass(name: str, case: str, end: str) -> None:
    assert ends(ALL[name]())[case] == end


def test_the_properties_say_how_to_run_it_again() -> None:
    facts = {each.get("name"): each.get("value") for each in suite(records.held_gorilla()).iter("property")}
    assert facts["seed"] == "7"
    assert facts["again"] == "simian gorilla --zone east-a --seed 7"
    assert facts["plan_hash"] == "90ab6b1fb2d34c77"


SPELL = "</testcase><evil a=\"b\" c='d'>&amp;]]>\x00\x08\x1b[2J\ufffe\uffff\ud800 x"


def test_markup_and_what_xml_does_not_know_become_text() -> None:
    record = records.broken_chaos() | {"hypothesis": SPELL, "reasons": [SPELL, SPELL]}
    record["weaknesses"][0]["seen"] = SPELL
    record["steady_state"][0]["check"] = SPELL
    found = suite(record)
    assert not list(found.iter("evil"))
    name = found.findall("testcase")[0].get("name") or ""
    assert name.startswith("</testcase><evil a=\"b\" c='d'>&amp;]]>\\x00\\x08\\x1b[2J")
    assert name.endswith("��\\ud800 x")
