"""The pictures of the README are small, load nothing, and show no path of the machine they were made on."""

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

from pages import DOCS, README, text_of

from luthier.reporting.inline import clean

IMAGES = DOCS / "images"


def test_the_readme_shows_both_and_says_what_they_are() -> None:
    shown = re.findall(r'<img src="([^"]+)" width="\d+%" alt="([^"]{20,})">', text_of(README))
    assert [name for name, _ in shown] == ["docs/images/screen.svg", "docs/images/report.png"]
    assert all((README.parent / name).is_file() for name, _ in shown)
    assert text_of(README).index("$ make test") < text_of(README).index("<img")


def test_the_screen_is_a_drawing_that_loads_nothing() -> None:
    file = IMAGES / "screen.svg"
    assert file.stat().st_size < 100_000
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"@font-face|url\(\"?https?:|<image|<script", text)
    words = " ".join(clean("".join(ElementTree.fromstring(text).itertext())).replace("\u00a0", " ").split())
    for said in ("$ luthier demo", "runs/1", "tickets.csv", "<- chosen", "unseen rows", "runs/1/report.html"):
        assert said in words
    assert not re.search(r"/(?:work|root|home|tmp|Users)\b", words)


def test_the_report_is_the_top_of_a_page_as_wide_as_a_desktop() -> None:
    data = (IMAGES / "report.png").read_bytes()
    assert len(data) < 300_000
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1280, 1600)


def test_one_command_makes_them() -> None:
    assert "python docs/pictures.py runs/1" in (Path(DOCS) / "pictures.py").read_text(encoding="utf-8")
