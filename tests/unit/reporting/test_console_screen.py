import io
import re
import subprocess
import sys

import pytest

from luthier.core.listener import Listener
from luthier.reporting.blocks import (
    Block,
    Cell,
    Column,
    Histogram,
    Interval,
    IntervalPlot,
    LinePlot,
    Panel,
    Row,
    Series,
    SideBySide,
    Table,
    Verdict,
)
from luthier.reporting.console import ConsoleListener
from luthier.reporting.screen import sparkline
from luthier.reporting.tokens import print_tokens

SCREEN = """\
data      300 rows, CSV. 0 bad rows
          158 to tune | 81 to choose | 61 to confirm, unseen until the end
machine   2 cores, no GPU, bf16 yes. 8 candidates, about 4 min 30 s, 1.9 GB
                                     exact match (81)  valid  latency    ready in
  most frequent answer                     2 % [0, 9]  100 %      0 s         0 s
  TF-IDF, one model a field              14 % [7, 23]  100 %      0 s         1 s
  smollm2-135m  as it is             0.0 % [0.0, 4.4]    3 %   0.40 s         0 s
                told the schema           9 % [4, 17]  100 %   0.50 s         0 s
                4 examples + schema     18 % [12, 28]  100 %   0.60 s         0 s
                LoRA r16, 2 epochs      80 % [70, 88]   99 %   0.40 s  2 min 05 s  <- chosen
confirm   61 unseen rows      LoRA 78 % [66, 87]     4 examples + schema 18 % [10, 29]
          LoRA - 4 examples   +60 [47, 72]  better
          forgetting          -0.5 [-3.0, +2.0]  no worse than 5 points: shown
          target 80 %         not shown (about 400 rows would decide)
verdict   Tuning helped: on unseen rows the tuned model is right on 78 % instead of 18 %.
          LoRA minus 4 examples: +60 points [47, 72], on 61 rows.
          It is about these two models, on rows like these.
next      luthier chat runs/1   luthier answer runs/1 new.csv
"""


class Streams:
    """A listener with its two streams."""

    def __init__(self, **options: object) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.listener = ConsoleListener(stdout=self.out, stderr=self.err, **options)  # type: ignore[arg-type]


def shown(*blocks: Block) -> str:
    streams = Streams()
    for block in blocks:
        streams.listener.show(block)
    return streams.out.getvalue()


def test_a_screen_without_a_terminal_is_plain_text(screen: list[Block]) -> None:
    assert shown(*screen) == SCREEN


def test_a_terminal_gets_colour_and_the_same_words(screen: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    streams = Streams(color=True)
    for block in screen:
        streams.listener.show(block)
    coloured = streams.out.getvalue()
    assert "\x1b[1;32mTuning helped" in coloured
    assert "80 %\x1b[0m\x1b[2m [70, 88]" in coloured


def test_narrow_terminals_break_labels_and_keep_numbers_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "48")
    monkeypatch.setenv("NO_COLOR", "1")
    streams = Streams(color=True)
    rows = [["        a label that needs more room than there is", Interval(0.8, 0.7, 0.875)]]
    streams.listener.show(Table([Column(), Column("exact match (81)", "right")], rows))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", streams.out.getvalue()).splitlines()
    assert all(len(line) <= 48 for line in lines)
    assert "80 % [70, 88]" in lines[1]
    assert lines[1].startswith("    a label that")  # its eight spaces have become two
    assert lines[2].startswith("    ")


def test_blocks_and_lines_go_to_stderr_where_stdout_is_for_json() -> None:
    streams = Streams(to_stderr=True)
    streams.listener.say("a **line**")
    streams.listener.show(Row("data", "300 rows"))
    assert streams.out.getvalue() == ""
    assert streams.err.getvalue() == "a line\ndata      300 rows\n"


def test_brackets_and_escape_sequences_in_texts_are_data() -> None:
    text = shown(SideBySide([Panel("After", "[red]x[/red] :smile: \x1b[31m [66, 87]", "wrong")], reference=None))
    assert text == "  After wrong  [red]x[/red] :smile: \ufffd[31m [66, 87]\n"


def test_plots_in_characters() -> None:
    text = shown(
        IntervalPlot([("a", Cell(Interval(0.0, 0.0, 0.5), emphasis=True)), ("b", "not run")], marks={"target": 1.0}),
        LinePlot([Series("training", [0, 1, 2], [3.0, 2.0, 1.0])], "step", "loss"),
        Histogram({"tokens": [1, 2, 2, 4]}, "tokens"),
    )
    lines = text.splitlines()
    assert lines[0] == "  a          ●" + "─" * 16 + "·" * 14 + "|   0 % [0, 50]"
    assert lines[1].split() == ["b", "not", "run"]
    assert lines[3:5] == ["loss over step", "  training  3  █▅▁  1"]
    assert lines[6].split() == ["tokens", "0.500", "▅█·▅", "4.50", "n", "=", "4"]


def test_sparkline_averages_stretches() -> None:
    assert sparkline([0, 2, 7, 7], width=2) == "▁█"
    assert sparkline([1, 1]) == "▁▁"


def test_an_old_code_page_does_not_end_a_run() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    ConsoleListener(stdout=out, stderr=io.StringIO()).show(Row("data", "78 % – ●"))
    out.flush()
    assert out.buffer.getvalue().decode("ascii") == "data      78 % ? ?\n"  # type: ignore[attr-defined]


def test_verdict_may_have_another_label() -> None:
    assert shown(Verdict("Not shown.", "unknown", label="target")) == "target    Not shown.\n"


def test_progress_elsewhere_than_on_a_terminal_is_a_line_every_20_seconds() -> None:
    now = [0.0]
    streams = Streams(clock=lambda: now[0])
    listener: Listener = streams.listener
    with listener.track("training", 100, "steps") as bar:
        for step in range(100):
            bar.note(f"loss {2 - step / 100:.2f}")
            now[0] += 0.5
            bar.advance()
    assert streams.err.getvalue().splitlines() == [
        "training: 40/100 steps, 30 s left, loss 1.61",
        "training: 80/100 steps, 10 s left, loss 1.21",
        "training: 100/100 steps, took 50 s, loss 1.01",
    ]
    assert streams.out.getvalue() == ""


def test_what_an_earlier_run_has_done_says_nothing_about_the_time_left() -> None:
    now = [0.0]
    streams = Streams(clock=lambda: now[0])
    with streams.listener.track("training", 100, "steps", done=90) as bar:
        for _ in range(3):
            now[0] += 12
            bar.advance()
    assert streams.err.getvalue().splitlines()[0] == "training: 92/100 steps, 1 min 36 s left"


def test_parts_of_a_row_move_the_estimate_and_are_not_counted_as_rows() -> None:
    now = [0.0]
    streams = Streams(clock=lambda: now[0])
    with streams.listener.track("answering", 4, "rows") as bar:
        for _ in range(30):
            now[0] += 1
            bar.advance(4 / 30)
    assert streams.err.getvalue().splitlines() == [
        "answering: 2/4 rows, 10 s left",
        "answering: 4/4 rows, took 30 s",
    ]


def test_what_is_quick_says_nothing() -> None:
    streams = Streams()
    with streams.listener.track("loading", None) as bar:
        bar.advance()
    assert streams.err.getvalue() == ""


def test_bars_on_a_terminal_share_a_display_that_goes_with_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm-256color")
    streams = Streams(color=True)
    with streams.listener.track("candidates [2]", 3, done=1) as outer:
        with streams.listener.track("training", 10, "steps") as inner:
            inner.advance(5)
            inner.note("loss 1.25")
            streams.listener.show(Row("data", "shown above the bars"))
        outer.advance()
    err = streams.err.getvalue()
    assert "candidates [2]" in err
    assert "1/3" in err
    assert "5/10 steps" in err
    assert "loss 1.25" in err
    assert err.endswith("\x1b[1A\x1b[2K\x1b[?25h\r")  # lines are cleared, the cursor is back
    assert "shown above the bars" in streams.out.getvalue()
    assert "shown" not in err


def test_tokens_are_bracketed_without_colour() -> None:
    out = io.StringIO()
    pieces = [("<|user|>", 0.0), ("Hi", 0.0), ("Hel", 1.0), ("lo", 1.0), ("!", 0.5), ("<|end|>", 1.0), ("\n", 0.0)]
    print_tokens(pieces, out)
    assert out.getvalue() == "<|user|>Hi[[Hello]][[!]]x0.5[[<|end|>]]\n\n"


def test_tokens_on_a_terminal_alternate_and_show_trained_line_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    out = io.StringIO()
    print_tokens([("Hi", 0), ("Hel", 1), ("lo", 1), ("\n", 1), ("!", 0.5)], out, color=True)
    text = out.getvalue()
    assert "\x1b[2mHi\x1b[0m" in text
    assert "\x1b[30;42mHel\x1b[0m" in text
    assert "\x1b[30;102mlo\x1b[0m" in text
    assert "↵" in text
    assert "\x1b[30;43m!\x1b[0m" in text


def test_importing_the_listener_imports_neither_rich_nor_torch() -> None:
    code = (
        "import sys, luthier.reporting.console, luthier.reporting.tokens; print({'rich', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
