"""The page about raw text: its commands run as they stand, on two folders of documents."""

from __future__ import annotations

import random
import shlex
from pathlib import Path

from pages import DOCS, console_commands
from typer.testing import CliRunner

from luthier.cli.main import app
from luthier.core.run import RunDirectory

PAGE = DOCS / "methods" / "raw_text.md"


def test_every_command_runs(workplace: Path) -> None:
    draw = random.Random(1)
    for folder, count in (("corpus", 40), ("later", 12)):
        (workplace / folder).mkdir()
        for number in range(count):
            text = " ".join(draw.choice(["late", "parcel", "red", "blue", "kettle"]) for _ in range(8))
            (workplace / folder / f"{number}.md").write_text(f"{text} {folder} {number}\n")
    commands = console_commands(PAGE)
    assert len(commands) == 3
    for command in commands:
        program, *arguments = shlex.split(command.line)
        assert program == "luthier"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{command.line}\n{result.output}\n{result.exception!r}"
        assert "bits per byte" in result.stdout
    assert RunDirectory(workplace / "runs" / "1").manifest["answering"] == {"kind": "reading"}
