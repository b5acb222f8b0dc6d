import re
from pathlib import Path

import pytest
from page_reader import Reader
from reporting_samples import HOSTILE

from luthier.core.errors import RunError
from luthier.reporting.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Details,
    Heading,
    Interval,
    KeyValues,
    Panel,
    Portion,
    Row,
    SideBySide,
    StackedBars,
    Table,
    Text,
    Verdict,
)
from luthier.reporting.html import to_html, write_html


def test_the_report_is_well_formed(report: list[Block], glossary: dict[str, str]) -> None:
    reader = Reader(to_html("Report", report, subtitle="sub", glossary=glossary, footer="end"))
    assert reader.tags.count("h1") == 1
    assert reader.tags.count("svg") > 10
    assert {"table", "figure", "details", "dl", "mark", "abbr", "nav"} <= set(reader.tags)


def test_it_loads_nothing_and_runs_nothing(report: list[Block], glossary: dict[str, str]) -> None:
    page = to_html("Report", report, glossary=glossary)
    assert Reader(page).problems() == []
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"https?:|//|url\(|@import|@font-face", style)
    assert "default-src 'none'" in page


def everywhere(text: str) -> list[Block]:
    """One text in every place that takes one."""
    return [
        Verdict(text, "unknown", [text]),
        Heading(text),
        Text(text),
        Row(text, [text]),
        KeyValues([(text, Cell(text, note=text))], {text: text}),
        Table([Column(text, unit=text, help=text)], [[Cell(text, note=text)]], text, text),
        SideBySide([Panel(text, text, "wrong"), Panel(text, text + " more", "right")], text, text),
        Code(text, text),
        Details(text, [Text(text)]),
    ]


@pytest.mark.parametrize("text", [HOSTILE, '"><script>', "' onmouseover='x", "<!--", "]]>", "&lt;b&gt;", "</title>"])
def test_untrusted_text_stays_text(text: str) -> None:
    plain = Reader(to_html("t", everywhere("word"), subtitle="word", glossary={"zz": "word"}, footer="word"))
    reader = Reader(to_html(text, everywhere(text), subtitle=text, glossary={"zz": text}, footer=text))
    assert [tag for tag in reader.tags if tag != "mark"] == [tag for tag in plain.tags if tag != "mark"]
    assert {name for name, _ in reader.attributes} == {name for name, _ in plain.attributes}


def test_untrusted_labels_in_plots_stay_text(report: list[Block]) -> None:
    from luthier.reporting.blocks import Histogram, IntervalPlot, LinePlot, Series

    plots: list[Block] = [
        IntervalPlot([(HOSTILE, Interval(0.5, 0.4, 0.6))], HOSTILE, HOSTILE, {HOSTILE: 0.5}),
        LinePlot([Series(HOSTILE, [0, 1], [1, 2]), Series("b", [0], [1])], HOSTILE, HOSTILE, HOSTILE),
        Histogram({HOSTILE: [1, 2]}, HOSTILE, HOSTILE),
    ]
    assert not {"script", "img"} & set(Reader(to_html("t", plots)).tags)


def test_the_verdict_comes_first_with_its_tone() -> None:
    page = to_html("Title", [Text("a"), Verdict("It helped.", "good", ["on **61** rows"])])
    assert page.count("It helped.") == 1
    assert page.index("It helped.") < page.index("<main>")
    assert '<section class="verdict good">' in page
    assert "<li>on <strong>61</strong> rows</li>" in page


def test_intervals_are_written_and_drawn() -> None:
    column = Column("exact match", "right", help="share of equal answers")
    page = to_html("t", [Table([column], [[Interval(0.78, 0.66, 0.87)], [Interval(-0.1, -0.2, 0.0, "points")]])])
    assert '<span class="num">78\u00a0%</span> <span class="range">[66,\u00a087]</span><svg' in page
    assert "\u221210" in page  # a true minus sign
    assert '<abbr title="share of equal answers" tabindex="0">exact match</abbr>' in page


def test_every_plot_comes_in_two_widths(report: list[Block]) -> None:
    page = to_html("t", report)
    assert page.count('<div class="wide"><svg') == page.count('<div class="narrow"><svg') == 7


def test_the_glossary_explains_whole_words_once_each_and_lists_them() -> None:
    blocks = [Text("LoRA, not xLoRA or `LoRA`, beats rank."), Table([Column("valid")], [["1"]])]
    reader = Reader(to_html("t", blocks, glossary={"lora": "small", "valid": "can be read", "unused": "no"}))
    titles = [value for name, value in reader.attributes if name == "title"]
    assert titles == ["small", "can be read"]
    assert reader.words.endswith("Words used here LoRA small valid can be read")
    assert "unused" not in reader.words


def test_sections_are_linked() -> None:
    page = to_html("t", [Heading("One"), Heading("Two"), Heading("Part", 3), Heading("Three")])
    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', page)
    assert links == [("section-1", "One"), ("section-2", "Two"), ("section-3", "Three")]
    assert all(f'<h2 id="{anchor}">' in page for anchor, _ in links)


def test_side_by_side_marks_what_differs_and_what_is_empty() -> None:
    panels = [
        Panel("Before", "", "wrong"),
        Panel("After", "urgency low today", "wrong"),
        Panel("Reference", "urgency high today"),
    ]
    page = to_html("t", [SideBySide(panels)])
    assert "urgency <mark>low</mark> today" in page
    assert "(empty)" in page
    assert page.count('<span class="badge wrong-mark">wrong</span>') == 2


def test_neighbouring_rows_share_a_list() -> None:
    page = to_html(
        "t", [Row("data", "300 rows"), Row("machine", ["2 cores", "no GPU"]), Text("x"), Row("next", "`go`")]
    )
    assert page.count('<dl class="facts">') == 2
    assert "<dt>machine</dt><dd><p>2 cores</p><p>no GPU</p></dd>" in page


def test_numbers_stay_with_their_units() -> None:
    assert "right on 78\u00a0% in 0.40\u00a0s" in to_html("t", [Text("right on 78 % in 0.40 s")])


def test_writing_is_whole_and_says_what_to_do(tmp_path: Path) -> None:
    write_html(tmp_path / "report.html", "Title", [Text("a lone surrogate \ud800")])
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(RunError, match=r"Cannot write the report .*gone.*Check that its folder exists"):
        write_html(tmp_path / "gone" / "report.html", "Title", [])


def test_equal_blocks_give_equal_bytes(report: list[Block]) -> None:
    assert to_html("t", report) == to_html("t", report)


def test_headings_go_down_one_level_at_a_time() -> None:
    titled = SideBySide([Panel("a", "b")], "Row 7")
    page = to_html("t", [Heading("One"), titled, Heading("Part", 3), titled, Heading("Two"), Details("more", [titled])])
    reader = Reader(page)
    assert [tag for tag in reader.tags if re.fullmatch(r"h\d", tag)] == ["h1", "h2", "h3", "h3", "h4", "h2", "h3"]
    assert reader.problems() == []


def test_the_first_cell_of_a_row_heads_it() -> None:
    page = to_html("t", [Table([Column("field"), Column("wrong", "right")], [["urgency", "3"]])])
    assert '<th scope="row">urgency</th><td class="right">3</td>' in page


def test_a_word_is_explained_once_a_section_and_always_above_a_column() -> None:
    blocks = [Heading("One"), Text("valid, valid"), Table([Column("valid")], [["1"]]), Heading("Two"), Text("valid")]
    page = to_html("t", blocks, glossary={"valid": "can be read"})
    assert page.count('<abbr title="can be read"') == 3


def test_long_texts_are_folded_and_nothing_of_them_is_lost() -> None:
    text = " ".join(f"word{number}" for number in range(200))
    page = to_html("t", [SideBySide([Panel("After", text, "wrong"), Panel("Reference", "short")], context=text)])
    assert page.count('<details class="more">') == 2
    answer = page.partition('<div class="answer" dir="auto">')[2].partition("</div>")[0]
    first, _, folded = answer.partition('<details class="more"><summary>')
    rest = folded.partition("</summary>")[2].removesuffix("</details>")
    assert 600 < len(first) <= 700
    assert f"{first.rstrip()} {rest}" == text
    assert f"… {len(text) - len(first):,} more characters" in page
    assert "<details" not in to_html("t", [SideBySide([Panel("After", text[:800])])])


def test_marks_stay_where_a_folded_text_is_cut() -> None:
    same = " ".join(["same"] * 200)
    page = to_html("t", [SideBySide([Panel("After", f"{same} odd"), Panel("Reference", f"{same} even")])])
    assert re.search(r'<details class="more"><summary>[^<]*</summary>[^<]*<mark>odd</mark></details>', page)


def test_stacked_bars_explain_their_colours() -> None:
    portions = [Portion("right", "green"), Portion("cut", "olive", "at the limit"), Portion("failed", "grey")]
    page = to_html("t", [StackedBars([("a", (3, 1, 0))], portions)])
    legend = page[page.index('<div class="legend">') : page.index('<div class="wide">')]
    assert '<span class="c-green">' in legend
    assert '<abbr title="at the limit" tabindex="0">cut</abbr>' in legend
    assert "failed" not in legend
