"""The chart is one self-contained file with every series and label in it, whatever the names are."""

import re
from xml.etree import ElementTree

import pytest

from proof.bench.growth import Growth, Point, Series
from proof.bench.report import Report
from tests.unit.test_bench_growth import report

pytest.importorskip("matplotlib", reason="the chart needs matplotlib, of requirements-dev.txt")

from proof.bench.chart import as_svg, legend

SVG = "{http://www.w3.org/2000/svg}"


def drawn(told: Report) -> ElementTree.Element:
    return ElementTree.fromstring(as_svg(told))


def words(told: Report) -> set[str]:
    return {node.text or "" for node in drawn(told).iter(f"{SVG}text")}


def test_every_operation_is_there_with_its_ratio() -> None:
    told = report()
    said = words(told)
    for row in told.rows:
        assert row.operation in said
        assert any(text.startswith(f"{row.ratio:.2f} (1.5)") for text in said)
    assert {"ours", "floor", "the notes' listing"} <= said


def test_every_growth_has_title_units_exponents_and_its_loads() -> None:
    said = words(report())
    for growth in report().growths:
        assert {growth.title, growth.load, growth.value} <= said
        assert {legend(series) for series in growth.series} <= said
        assert {str(point.load) for point in growth.series[0].points} <= said


def with_another(values: tuple[float, ...]) -> Report:
    """The same, with a second series in its growth."""
    told = report()
    (growth,) = told.growths
    line = Series("another", tuple(map(Point, (3, 17, 51), values)))
    told.growths = [Growth(growth.title, growth.load, growth.value, (*growth.series, line), growth.limit)]
    return told


def test_every_series_has_a_mark_for_each_point() -> None:
    def marks(told: Report) -> int:
        """Of the second colour."""
        return sum("#d55e00" in node.attrib.get("style", "") for node in drawn(told).iter(f"{SVG}use"))

    assert marks(with_another((1, 2, 3))) - marks(report()) == 3 + 1  # the last one is the legend's


def test_an_axis_spans_a_decade_so_that_what_hardly_changes_looks_flat() -> None:
    told = with_another((9, 10, 9))
    (growth,) = told.growths
    told.growths = [Growth(growth.title, growth.load, growth.value, growth.series[1:], growth.limit)]

    assert {"5", "10", "20"} <= words(told)


def test_it_needs_no_other_file_and_brings_its_own_background() -> None:
    text = as_svg(report())

    assert all(place.startswith("#") for place in re.findall(r"(?:href=\"|url\()([^\")]+)", text))
    assert not re.search(r"<script|<image|@import", text)
    assert "fill: #ffffff" in text.partition("<text")[0]


def test_names_are_escaped_and_signs_are_not_formulas() -> None:
    told = report()
    told.machine["price"] = "$1 $2"

    assert any("system <&>, price $1 $2" in text for text in words(told))


def test_the_same_figures_give_the_same_file() -> None:
    assert as_svg(report()) == as_svg(report())


def test_where_nothing_was_measured_there_is_a_chart_that_says_of_what() -> None:
    assert any("p50 of 5 samples" in text for text in words(Report(5, {})))
