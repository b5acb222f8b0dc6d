"""Plots as inline SVG, drawn for a given width so that their text keeps its size on a phone.

Colours come from the page's style sheet through classes, so that one drawing serves light and dark. A drawing opens
with its `<title>` and a `<desc>` that says in words what is drawn; other elements carry a `<title>`, which browsers
show on hovering.
"""

from luthier.reporting.svg.distributions import histogram
from luthier.reporting.svg.elements import tag, typographic
from luthier.reporting.svg.intervals import interval_plot, mini_interval
from luthier.reporting.svg.lines import line_plot
from luthier.reporting.svg.stacks import stacked_bars

__all__ = ["histogram", "interval_plot", "line_plot", "mini_interval", "stacked_bars", "tag", "typographic"]
