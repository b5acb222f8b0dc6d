import math
import re
from xml.etree import ElementTree

import pytest

from luthier.reporting import svg
from luthier.reporting.blocks import (
    Cell,
    Histogram,
    Interval,
    IntervalPlot,
    LinePlot,
    Portion,
    Series,
    StackedBars,
)
from luthier.reporting.scales import Scale, bins, thin, tick_text, ticks


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def by_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.get("class") == name]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.3, 2.4, [0, 0.5, 1, 1.5, 2, 2.5]),
        (-3, 72, [-20, 0, 20, 40, 60, 80]),
        (5, 5, [2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_tick_texts() -> None:
    assert tick_text(0.5, 0.5, "number") == "0.5"
    assert tick_text(0.25, 0.25, "share") == "25 %"
    assert tick_text(0.2, 0.2, "points") == "+20"
    assert tick_text(0.0, 0.2, "points") == "0"
    assert tick_text(2e-5, 1e-5, "number") == "2e-05"


def test_scale_maps_ends_and_middle() -> None:
    scale = Scale(0, 10, 50, 650)
    assert [scale(0), scale(5), scale(10)] == [50, 350, 650]
    assert [Scale(2, 4, 100, 0)(x) for x in (2, 3, 4)] == [100, 50, 0]


def test_bins_of_whole_numbers_stand_around_them_and_hold_everything() -> None:
    counted = bins([[2, 3, 3, 5], [5]])
    assert counted.edges == (1.5, 2.5, 3.5, 4.5, 5.5)
    assert counted.counts == ((1, 2, 0, 1), (0, 0, 0, 1))


def test_bins_of_evenly_spaced_values_stand_around_them() -> None:
    fifths = bins([[0.0, 0.2, 0.6000000000000001, 1.0]], about=24)
    assert fifths.edges == pytest.approx([-0.1, 0.1, 0.3, 0.5, 0.7, 0.9, 1.1])
    assert fifths.counts == ((1, 1, 0, 1, 0, 1),)
    assert fifths.centred
    assert not bins([[0.0, 0.21, 0.6, 1.0]], about=24).centred
    assert bins([[0.4, 0.4]]).counts == ((2,),) or sum(bins([[0.4, 0.4]]).counts[0]) == 2


def test_bins_of_other_values_have_round_edges_and_the_last_holds_its_end() -> None:
    counted = bins([[0.0, 0.1, 0.95, 1.0, math.nan]], about=10)
    assert counted.edges == tuple(k / 10 for k in range(11))
    assert counted.counts == ((1, 1, 0, 0, 0, 0, 0, 0, 0, 2),)


def test_thinning_keeps_ends_and_spikes() -> None:
    points = [(float(x), 100.0 if x == 777 else math.sin(x)) for x in range(5000)]
    kept = thin(points, 400)
    assert len(kept) <= 402
    assert (777.0, 100.0) in kept
    assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_a_small_interval_spans_the_places_of_its_ends() -> None:
    root = parsed(svg.mini_interval(Interval(0.5, 0.25, 0.75), 0, 1, width=108))  # 100 px from 4 to 104
    bar = by_class(root, "interval")[0]
    assert (bar.get("x1"), bar.get("x2")) == ("29", "79")
    assert by_class(root, "estimate")[0].get("cx") == "54"


def test_a_line_runs_through_hand_computed_points() -> None:
    root = parsed(svg.line_plot(LinePlot([Series("loss", [0, 5, 10], [0, 2, 4])], "step", "loss"), 640))
    # The y ticks 0 … 4 have one letter: the inside starts at 6.4 + 14 = 20.4, ends 10 before 640, and is 26 … 258 high.
    x, y = Scale(0, 10, 20.4, 630), Scale(0, 4, 258, 26)
    expected = "M" + "L".join(f"{x(a):.1f} {y(b):g}" for a, b in [(0, 0), (5, 2), (10, 4)])
    assert expected == "M20.4 258L325.2 142L630.0 26"
    assert by_class(root, "line")[0].get("d") == expected.replace("630.0", "630")
    texts = [element.text for element in by_class(root, "tick")]
    assert texts == ["0", "1", "2", "3", "4", "0", "2", "4", "6", "8", "10"]


def test_a_line_breaks_where_a_value_is_missing() -> None:
    plot = LinePlot([Series("loss", [0, 1, 2, 3, 4], [1, 2, math.nan, 2, math.inf])], "step", "loss")
    assert len(by_class(parsed(svg.line_plot(plot, 640)), "line")) == 2


def test_hovering_shows_every_series_and_strips_cover_the_plot() -> None:
    plot = LinePlot([Series("train", [0, 1, 2], [3, 2, 1]), Series("valid", [0, 2], [4, 2])], "step (updates)", "loss")
    strips = by_class(parsed(svg.line_plot(plot, 640)), "hover")
    titles = [strip[0].text for strip in strips]
    assert titles == ["step 0\ntrain: 3\nvalid: 4", "step 1\ntrain: 2", "step 2\ntrain: 1\nvalid: 2"]
    assert sum(float(strip.get("width", 0)) for strip in strips) == pytest.approx(630 - 20.4, abs=0.1)


def test_interval_plot_draws_marks_and_texts_for_what_was_not_run() -> None:
    rows = [("a", Cell(Interval(0.5, 0.4, 0.6), emphasis=True)), ("b", "not run")]
    root = parsed(svg.interval_plot(IntervalPlot(rows, marks={"target": 0.8}), 640))
    assert len(by_class(root, "interval")) == 1
    # Left of the bars the label (one letter), right of them "50 % [40, 60]" (13 letters), bold and each 14 away.
    scale = Scale(0, 1, 1.12 * 6.4 + 14, 640 - 1.12 * 13 * 6.4 - 14)
    assert float(by_class(root, "mark")[0].get("x1", 0)) == pytest.approx(scale(0.8), abs=0.01)
    assert "not run" in [element.text for element in root.iter()]


def test_histogram_heights_are_shares_of_the_largest() -> None:
    plot = Histogram({"before": [0, 0, 0, 1], "after": [1, 1, 1, 1]}, "right")
    bars = by_class(parsed(svg.histogram(plot, 640)), "bar")
    assert [float(bar.get("height", 0)) for bar in bars] == [60, 20, 80]  # 3/4, 1/4 and 4/4 of 80 pixels
    assert [bar[0].text for bar in bars] == ["0: 3 (75 %)", "1: 1 (25 %)", "1: 4 (100 %)"]


def test_the_fullest_bar_has_the_whole_height() -> None:
    bars = by_class(parsed(svg.histogram(Histogram({"right": [0, 0, 1, 2]}, "right"), 640)), "bar")
    assert [float(bar.get("height", 0)) for bar in bars] == [104, 52, 52]


def test_losses_are_drawn_from_zero_unless_they_move_far_from_it() -> None:
    def lowest(values: list[float]) -> str | None:
        root = parsed(svg.line_plot(LinePlot([Series("", [0, 1], values)], "step", "loss"), 640))
        return by_class(root, "tick")[0].text

    assert [lowest([2.0, 0.9]), lowest([2.0, 1.5]), lowest([1.0, -1.0])] == ["0.0", "1.5", "\u22121.0"]


@pytest.mark.parametrize("width", [330, 840])
def test_extreme_plots_are_well_formed_and_hold_no_nan(width: int) -> None:
    drawings = [
        svg.line_plot(LinePlot([Series("", [], [])], "x", "y"), width),
        svg.line_plot(LinePlot([Series("one", [3], [math.nan]), Series("two", [3], [-1])], "x", "y"), width),
        svg.line_plot(LinePlot([Series("big", [0, 1e9], [1e-9, 1e9])], "x", "y", marks={"m": 5}), width),
        svg.histogram(Histogram({}, "x"), width),
        svg.histogram(Histogram({"none": [], "one": [0.3]}, "x"), width),
        svg.interval_plot(IntervalPlot([]), width),
        svg.interval_plot(IntervalPlot([("<b>" * 50, Interval(math.nan)), ("c", Interval(2, -1, 9, "number"))]), width),
    ]
    for drawing in drawings:
        parsed(drawing)
        assert not re.search(r"\bnan\b|\binf\b", drawing)


def test_stacked_bars_divide_the_width_by_the_counts_of_each_row() -> None:
    portions = [Portion("right", "green"), Portion("wrong", "orange"), Portion("cut", "olive")]
    block = StackedBars([("", (3, 1, 0)), ("", (0, 0, 8))], portions, "Answers", "answers")
    root = parsed(svg.stacked_bars(block, 640))
    parts = by_class(root, "part")
    assert [(part.get("x"), part.get("width")) for part in parts] == [("0", "478.5"), ("480", "158.5"), ("0", "638.5")]
    assert [part[0].text for part in parts] == [
        "right: 3 of 4 answers (75\u00a0%)", "wrong: 1 of 4 answers (25\u00a0%)", "cut: 8 of 8 answers (100\u00a0%)",
    ]  # fmt: skip
    assert [element.text for element in by_class(root, "count")] == ["3", "1", "8"]
    assert [element.text for element in root if element.tag in ("title", "desc")] == [
        "Answers", "right 3, wrong 1; cut 8"
    ]  # fmt: skip
    assert [portion.name for portion in block.named] == ["right", "wrong", "cut"]


def test_a_count_is_left_to_the_hover_text_where_its_part_is_narrow() -> None:
    portions = [Portion("right"), Portion("wrong")]
    drawing = parsed(svg.stacked_bars(StackedBars([("", (1, 999))], portions), 640))
    assert [element.text for element in by_class(drawing, "count")] == ["999"]
    assert len(by_class(drawing, "part")) == 2


def test_a_bar_with_other_counts_than_portions_is_refused() -> None:
    with pytest.raises(ValueError, match="The bar 'a' has 1 counts for 2 portions"):
        StackedBars([("a", (1,))], [Portion("right"), Portion("wrong")])


def test_drawings_say_in_words_what_they_show() -> None:
    intervals = IntervalPlot([("a", Interval(0.5, 0.4, 0.6)), ("b", "not run")], "Scores", marks={"target": 0.8})
    lines = LinePlot([Series("train", [0, 5, 10], [3, 9, 1])], "step", "loss")
    counts = Histogram({"before": [0, 1, 5]}, "words")
    drawings = [svg.interval_plot(intervals, 330), svg.line_plot(lines, 330), svg.histogram(counts, 330)]
    told = [[element.text for element in parsed(drawing)][:2] for drawing in drawings]
    assert told == [
        ["Scores", "a: 50 % [40, 60]; b: not run; target: 80 %"],
        ["loss over step", "train: from 3 at 0 to 1 at 10"],
        ["distribution of words", "before: n = 3, lowest 0, median 1, highest 5"],
    ]


def test_shares_never_have_ticks_above_all() -> None:
    root = parsed(svg.line_plot(LinePlot([Series("", [0, 1], [1.0, 1.0])], "step", "share", y_unit="share"), 640))
    assert [element.text for element in by_class(root, "tick")][:6] == [
        f"{percent}\u00a0%" for percent in (0, 20, 40, 60, 80, 100)
    ]
