"""Makes the pictures of "Terms of training" by running the page's own code: a minute on two cores.

    python docs/terms.py        # writes docs/images/terms/*.svg

A picture is the plot that the page's code puts under its name into `plots`, drawn by Luthier's reports, with their
colours, a legend and a ground of its own, so that it can be read on a light and on a dark page.
"""

from __future__ import annotations

import importlib.resources
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from luthier.reporting.blocks import LinePlot
from luthier.reporting.svg import line_plot, tag
from luthier.reporting.svg.elements import LETTER, text

DOCS = Path(__file__).parent
PAGE, IMAGES = DOCS / "terms.md", DOCS / "images" / "terms"
WIDTH, _MARGIN, _LEGEND = 680.0, 16.0, 24.0
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
_HOVER = re.compile(r"<rect [^>]*class=\"hover\">.*?</rect>", re.DOTALL)
_PLOT_RULES = (".tick", ".axis", ".grid", ".line", ".dot", ".s1", ".s2")


def run_page() -> dict[str, Any]:
    """Run the page's code, block by block, in the current folder; returns its names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, block in enumerate(_BLOCK.findall(PAGE.read_text(encoding="utf-8")), start=1):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    return names


def picture(plot: LinePlot) -> str:
    """Return a plot as a drawing that stands alone."""
    inner = _HOVER.sub("", line_plot(plot, WIDTH - 2 * _MARGIN))  # an image shows no hover texts
    height = float(re.search(r'height="([\d.]+)"', inner)[1])  # type: ignore[index]
    legend = _LEGEND if len(plot.series) > 1 else 0.0
    whole = height + legend + 2 * _MARGIN
    parts = [tag("style", _style()), tag("rect", width=WIDTH, height=whole, rx=8, class_="card")]
    parts += [_legend(plot)] if legend else []
    parts.append(inner.replace("<svg ", f'<svg x="{_MARGIN:g}" y="{_MARGIN + legend:g}" ', 1))
    box = f"0 0 {WIDTH:g} {whole:g}"
    return tag("svg", "".join(parts), xmlns="http://www.w3.org/2000/svg", viewBox=box) + "\n"


def _legend(plot: LinePlot) -> str:
    """Name the lines, each beside a piece of it."""
    parts, x = [], _MARGIN
    for index, series in enumerate(plot.series):
        piece = tag("path", d=f"M{x:g} {_MARGIN}h26", class_="line")
        parts.append(tag("g", piece, class_=f"s{index % 6 + 1}"))
        parts.append(text(series.name, x + 32, _MARGIN + 4, class_="axis"))
        x += 32 + LETTER * len(series.name) + 18
    return "".join(parts)


def _style() -> str:
    """Return the rules of the report's style sheet that plots need."""
    sheet = importlib.resources.files("luthier.reporting").joinpath("page.css").read_text(encoding="utf-8")
    colours = re.findall(r"--(?:card|ink|soft|line|s\d): #\w+;", sheet)
    light, dark = colours[: len(colours) // 3], colours[len(colours) // 3 : 2 * len(colours) // 3]
    rules = [line for line in sheet.splitlines() if line.startswith(_PLOT_RULES)]
    ground = '.card { fill: var(--card); } text { font: 12px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }'
    dark_rule = f"@media (prefers-color-scheme: dark) {{ :root {{ {' '.join(dark)} }} }}"
    return "\n".join([f":root {{ {' '.join(light)} }}", dark_rule, ground, *rules])


def main() -> None:
    """Make all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        plots = run_page()["plots"]
    for name, plot in plots.items():
        (IMAGES / f"{name}.svg").write_text(picture(plot), encoding="utf-8", newline="\n")
        print(f"{IMAGES / name}.svg")


if __name__ == "__main__":
    main()
