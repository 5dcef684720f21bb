"""The chart is one self-contained file with every series and label in it, whatever the names are."""

import re
from xml.etree import ElementTree

import pytest

from proof.bench.chart import KINDS, as_svg, legend
from proof.bench.drawing import Axis, around, number, ticks
from tests.unit.test_bench_growth import report

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(as_svg(report()))


def words(drawn: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in drawn.iter(f"{SVG}text")]


def test_every_operation_is_there_with_its_ratio(drawn: ElementTree.Element) -> None:
    told = report()

    for row in told.rows:
        assert row.operation in words(drawn)
        assert any(f"{row.ratio:.2f} (1.5)" in text for text in words(drawn))
    assert set(KINDS) <= set(words(drawn))


def test_every_growth_has_title_units_and_exponents(drawn: ElementTree.Element) -> None:
    for growth in report().growths:
        assert {growth.title, growth.load, growth.value} <= set(words(drawn))
        assert {legend(series) for series in growth.series} <= set(words(drawn))
        loads = {number(point.load) for point in growth.series[0].points}
        assert loads <= set(words(drawn))


def test_every_series_is_a_line_with_a_mark_for_each_point(drawn: ElementTree.Element) -> None:
    lines = [node.attrib["points"].split() for node in drawn.iter(f"{SVG}polyline")]

    assert [len(line) for line in lines] == [6]
    marks = {(node.attrib["cx"], node.attrib["cy"]) for node in drawn.iter(f"{SVG}circle")}
    assert {tuple(point.split(",")) for point in lines[0]} <= marks


def test_it_needs_no_other_file_and_brings_its_own_background(drawn: ElementTree.Element) -> None:
    text = as_svg(report())

    assert len(text.encode()) < 60_000
    assert not re.search(r"href|url\(|<script|<style|<image", text)
    first = next(iter(drawn.iter(f"{SVG}rect")))
    assert (first.attrib["width"], first.attrib["height"]) == (drawn.attrib["width"], drawn.attrib["height"])
    assert first.attrib["fill"] == "#ffffff"


def test_names_are_escaped(drawn: ElementTree.Element) -> None:
    assert any("system <&>" in text for text in words(drawn))


def test_an_axis_is_logarithmic() -> None:
    axis = Axis((1, 100), (0, 200))

    assert [axis.at(value) for value in (1, 10, 100)] == [0, 100, 200]


def test_an_axis_spans_a_decade_so_that_what_hardly_changes_looks_flat() -> None:
    low, high = around([9.0, 10.0])

    assert high / low == pytest.approx(10)
    assert low < 9 < 10 < high


@pytest.mark.parametrize("span", [(0.02, 0.9), (4.0, 60.0), (5, 2000), (1, 1e6), (0.0001, 1000)])
def test_an_axis_has_a_few_round_ticks_within_it(span: tuple[float, float]) -> None:
    found = ticks(span)

    assert 2 <= len(found) <= 8
    assert all(span[0] <= tick <= span[1] for tick in found)
