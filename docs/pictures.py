"""Makes the pictures of the README from a finished run, such as that of `luthier demo`.

    python docs/pictures.py runs/1      # writes docs/images/report.png and docs/images/screen.svg

The run is shown as runs/1 wherever it lies; no model is asked. Needs Chromium for the picture of the report.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console, Group

from luthier.core.listener import SilentListener
from luthier.core.run import RunDirectory
from luthier.core.stages import recipe_of
from luthier.reporting.blocks import Block, Row
from luthier.reporting.screen import render
from luthier.stages.adapt.report import write_reports
from luthier.stages.adapt.report.again import stored_findings
from luthier.stages.adapt.screen import show_candidates, show_plan

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1280, 1600
_COLUMNS = 116
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Recorder(SilentListener):
    """Keeps the blocks of the screen."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def show(self, block: Any) -> None:
        """Keep a block."""
        self.blocks.append(block)


def shown_again(place: Path) -> list[Block]:
    """Write the report of the run at `runs/1` anew; returns the blocks of its screen."""
    recorder = Recorder()
    run = RunDirectory.open(Path("runs") / "1", recorder)
    config = recipe_of(run)
    data = place / config.data.path  # an absolute path stays as it is
    config = config.model_copy(update={"data": config.data.model_copy(update={"path": str(data)})})
    found = stored_findings(run, config)
    recorder.show(Row("run", f"`{run.path}`"))
    show_plan(run, config, found.material, found.plan)
    show_candidates(run, found.material, found.entries, found.choice)
    write_reports(run, config, found)
    return recorder.blocks


def draw_screen(blocks: list[Block], target: Path) -> None:
    """Write the terminal screen as SVG; it uses fonts that are there instead of loading some."""
    console = Console(record=True, width=_COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print("[bold green]$[/] luthier demo")
    console.print(Group(*map(render, blocks)))
    drawing = console.export_svg(title="luthier demo")
    drawing = re.sub(r"\s*@font-face \{.*?\}\n", "\n", drawing, flags=re.DOTALL)
    drawing = re.sub(r"font-family: [^;]*Fira Code[^;]*;", f"font-family: {_FONTS};", drawing)
    target.write_text(drawing, encoding="utf-8")


def photograph(page: Path, target: Path) -> None:
    """Write the top of a page as PNG, light, as wide as a desktop."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"None of {', '.join(_BROWSERS)} is installed: no picture of the report.")
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        options += ["--blink-settings=preferredColorScheme=1", f"--window-size={WIDTH},{HEIGHT}"]
        subprocess.run([browser, *options, f"--screenshot={target}", page.as_uri()], check=True, capture_output=True)


def main(path: Path) -> None:
    """Make both pictures of the run at `path`."""
    IMAGES.mkdir(exist_ok=True)
    place = Path(RunDirectory.open(path).manifest["folder"])
    with tempfile.TemporaryDirectory() as folder:
        weights = shutil.ignore_patterns("checkpoints", "*.safetensors", "tensorboard")
        shutil.copytree(path, Path(folder) / "runs" / "1", ignore=weights)
        before = Path.cwd()
        os.chdir(folder)
        try:
            draw_screen(shown_again(place), IMAGES.resolve() / "screen.svg")
            photograph(Path("runs/1/report.html").resolve(), IMAGES.resolve() / "report.png")
        finally:
            os.chdir(before)
    for picture in ("screen.svg", "report.png"):
        print(f"{IMAGES / picture}: {(IMAGES / picture).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/1"))
