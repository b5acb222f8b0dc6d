from reporting_samples import HOSTILE, candidates

from luthier.reporting.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Details,
    Heading,
    Histogram,
    Interval,
    IntervalPlot,
    KeyValues,
    LinePlot,
    Panel,
    Row,
    Series,
    SideBySide,
    Table,
    Text,
    Verdict,
)
from luthier.reporting.markdown import to_markdown


def test_texts_headings_rows_and_verdicts() -> None:
    blocks: list[Block] = [
        Heading("Results"),
        Verdict("It **helped**.", "good", ["on `61` rows"]),
        Text("one\n\n- a\n- **b**"),
        Row("data", ["300 rows", "61 to confirm"]),
    ]
    assert to_markdown(blocks) == (
        "## Results\n\n> **It helped.**\n>\n> - on `61` rows\n\none\n\n- a\n- **b**\n\n"
        "**data**: 300 rows; 61 to confirm\n"
    )


def test_tables_are_aligned_and_carry_intervals_and_notes() -> None:
    lines = to_markdown([candidates()]).splitlines()
    assert lines[0] == "|   | exact match (81) | valid | latency | ready in |"
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert lines[-1].endswith("**LoRA r16, 2 epochs** (chosen) | **80 % [70, 88]** | 99 % | 0.40 s | 2 min 05 s |")


def test_plots_become_tables() -> None:
    text = to_markdown(
        [
            IntervalPlot([("a", Interval(0.5, 0.4, 0.6))], "Scores", "share", {"target": 0.8}),
            LinePlot([Series("training", [0, 1, 2], [3, 1, 2])], "step", "loss"),
            Histogram({"prompts": [1, 2, 6]}, "tokens"),
        ]
    )
    assert "| a | 50 % [40, 60] |\n| target | 80 % |" in text
    assert "| training | 3 | 2 | 1 | 3 |" in text
    assert "| prompts | 3 | 3 | 2 | 1 | 6 |" in text


def test_data_cannot_become_markup() -> None:
    text = to_markdown([Table([Column("a|b")], [[Cell("*x* <b> | [l](u)\nsecond")]]), KeyValues([("k_v", "_i_ ~s~")])])
    assert r"| a\|b |" in text
    assert r"| \*x\* &lt;b&gt; \| [l\](u) second |" in text
    assert r"| k_v | \_i\_ \~s\~ |" in text


def test_untrusted_texts_are_fenced_with_more_backticks_than_they_have() -> None:
    text = to_markdown(
        [SideBySide([Panel("After", "a\n````\n# b", "wrong")], "Row 7", HOSTILE), Code("x = 1", "python")]
    )
    assert "After (wrong)\n\n`````\na\n````\n# b\n`````" in text
    assert "```python\nx = 1\n```" in text
    text.encode()  # no lone surrogate is left


def test_details_unfold() -> None:
    assert to_markdown([Details("more <b>", [Text("inside")])]) == (
        "<details>\n<summary>more &lt;b&gt;</summary>\n\ninside\n\n</details>\n"
    )


def test_the_whole_sample_renders(report: list[Block]) -> None:
    text = to_markdown(report)
    assert "<script>" not in text.replace("</style><script>alert('x')</script>", "")
    assert text.count("## ") >= 7
