"""The style sheet: texts stand out from what is behind them, in light, in dark and on paper."""

import importlib.resources
import re

import pytest

from luthier import reporting

STYLE = importlib.resources.files(reporting).joinpath("page.css").read_text(encoding="utf-8")


def colours(scheme: str) -> dict[str, str]:
    """Return the colours of a scheme by name; dark ones and those of paper replace the light ones."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(blocks) == 3
    light, dark, paper = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block)) for block in blocks)
    assert light.keys() == dark.keys() == paper.keys()
    return {"light": light, "dark": dark, "paper": paper}[scheme]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2 (relative luminance of sRGB colours)."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(letter * 2 for letter in colour[1:])
        channels = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark", "paper"])
def test_texts_can_be_read(scheme: str) -> None:
    """4.5 to 1 is what WCAG 2.1 asks of texts (AA), 3 to 1 of drawings."""
    of = colours(scheme)
    texts = [(text, behind) for text in ("ink", "soft", "accent") for behind in ("paper", "card", "faint")]
    texts += [("ink", f"{tone}-bg") for tone in ("good", "bad", "unknown", "neutral")] + [("ink", "mark")]
    texts += [(tone, "card") for tone in ("good", "bad", "unknown")]
    texts += [("on-part", part) for part in ("green", "orange", "purple", "olive", "blue", "grey")]
    drawn = [(line, "card") for line in ("s1", "s2", "s3", "s4", "s5", "s6", "green", "orange", "purple", "grey")]
    weak = [
        (pair, round(contrast(of[pair[0]], of[pair[1]]), 2))
        for pair in texts
        if contrast(of[pair[0]], of[pair[1]]) < 4.5
    ]
    weak += [
        (pair, round(contrast(of[pair[0]], of[pair[1]]), 2)) for pair in drawn if contrast(of[pair[0]], of[pair[1]]) < 3
    ]
    assert weak == []
