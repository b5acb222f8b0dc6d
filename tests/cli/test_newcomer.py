"""What somebody meets who does not know the tool yet: help, spelling, exit statuses, what goes to which stream."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SETTINGS, done, luthier, refused

from luthier import __version__

VERBS = ("adapt", "tune", "evaluate", "compare", "chat", "data", "answer", "resume", "runs", "merge", "list",
         "bench", "env", "demo")  # fmt: skip


def test_help_shows_all_verbs_the_daily_ones_first() -> None:
    text = done("--help").out
    places = [text.index(f"\n  {verb} ") for verb in VERBS]
    assert places == sorted(places)
    assert text.index("The verbs people live in:\n") < places[0]
    assert places[5] < text.index("Further verbs:\n") < places[6]
    assert "Start with:  luthier demo" in text


def test_options_stand_in_their_sections_and_examples_as_they_are_typed() -> None:
    text = done("adapt", "--help").out
    order = ["Arguments:", "FILE", "Options:", "--budget", "Reading the rows:", "--prompt", "Examples:"]
    places = [text.index(f"\n{name}" if name.endswith(":") else f"{name} ") for name in order]
    assert places == sorted(places)
    assert text.index("--prompt <str>") > text.index("Reading the rows:")
    assert "\n  luthier adapt few.csv --cross-validate\n  luthier adapt runs/1 --budget 30m\n" in text
    assert "check" in done("data", "--help").out.split("Commands:")[1]


@pytest.mark.parametrize("verb", [*VERBS, "data check", "data preview"])
def test_every_verb_has_help(verb: str) -> None:
    text = done(*verb.split(), "--help").out
    assert "Usage:" in text
    if verb not in ("env", "data", "demo"):
        assert "Examples:" in text
        assert f"luthier {verb}" in text
    if verb not in ("data",):
        assert "--json" in text


def test_defaults_are_shown() -> None:
    """They stand in square brackets, in the text of an option or after it."""
    shown = " ".join(done("adapt", "--help").out.split())
    for default in ("smollm2-135m-instruct", "10m", "auto", "0", "the next runs/N", "guessed"):
        assert f"[default: {default}]" in shown
    assert "[default: RUN/merged]" in " ".join(done("merge", "--help").out.split())


def test_without_a_verb_there_is_help() -> None:
    called = luthier()
    assert "Usage:" in f"{called.out}{called.err}"
    assert done("--version").out == f"luthier {__version__}\n"


def test_help_is_quick_and_needs_no_torch() -> None:
    """Under 0.3 s of computing, as `luthier --help` is typed often; torch alone takes longer to import."""
    code = (
        "import sys, time; sys.argv = ['luthier', '--help']\n"
        "from luthier.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pandas', 'sklearn', 'peft'} & set(sys.modules)\n"
        "print(heavy or 'light', time.process_time(), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    found, seconds = ended.stderr.split()
    assert found == "light"
    assert float(seconds) < 0.6  # twice the aim: the machine of a test is busy


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("adpt",), "No such command 'adpt'. Did you mean 'adapt'?"),
        (("evalute", "a", "b"), "No such command 'evalute'. Did you mean 'evaluate'?"),
        (("data", "chek", "x"), "No such command 'chek'. Did you mean 'check'?"),
        (("adapt",), "Missing argument 'FILE'."),
        (("adapt", "x.csv", "--budjet", "1m"), "No such option: --budjet"),
        (("adapt", "x.csv", "--seed", "x"), "Invalid value for '--seed'"),
        (("list",), "Missing argument 'WHAT'."),
    ],
)
def test_a_wrong_spelling_is_told(arguments: tuple[str, ...], answer: str) -> None:
    called = luthier(*arguments)
    assert called.code == 2
    assert called.out == ""
    assert answer in " ".join(called.err.replace("│", " ").split())


def test_data_goes_to_stdout_and_progress_to_stderr(files: Path, model: Path, place: Path) -> None:
    """Without --json the screen is standard output; with it, standard output is one JSON value and nothing else."""
    rows = files / "labels.csv"
    lines = [json.dumps({"example_id": f"r{i}", "text": "billing"}) for i in range(60)]
    (place / "a.jsonl").write_text("\n".join(lines) + "\n")
    calls: list[tuple[object, ...]] = [
        ("adapt", rows, "-m", model, "--budget", "15s"),
        ("adapt", rows, "-m", model, "--budget", "15s", "--plan"),
        ("tune", rows, "-m", model, *SETTINGS, "--run", "tuned"),
        ("resume", "tuned"),
        ("merge", "tuned", "--to", "plain"),
        ("evaluate", "a.jsonl", rows),
        ("answer", "tuned", rows),
        ("compare", "a.jsonl", "a.jsonl", "--data", rows),
        ("chat", "tuned"),
        ("data", "check", rows),
        ("data", "preview", rows, "-m", model, "-n", "1"),
        ("runs",),
        ("list", "metrics"),
        ("bench", model, "--only", "lora"),
        ("env",),
    ]
    for call in calls:
        called = done(*call, "--json", stdin="hello\n")
        assert called.json, call
        assert called.out.endswith(("}\n", "]\n")), call
        assert called.err, call
    # The same without --json: all on standard output, standard error is for progress and errors.
    called = done("list", "metrics")
    assert (called.err, "exact_match" in called.out) == ("", True)


def test_runs_are_numbered_and_named_at_once(files: Path, model: Path, place: Path) -> None:
    for number in (1, 2):
        called = done("adapt", files / "labels.csv", "-m", model, "--budget", "15s")
        assert called.out.startswith(f"run       runs/{number}\n")


def test_an_error_with_json_leaves_stdout_empty(files: Path, place: Path) -> None:
    assert "There is no file or folder" in refused("tune", "nothing.csv", "--json")


def test_progress_of_a_candidate_bears_its_title() -> None:
    """Else several candidates would seem to do the same again and again."""
    from luthier.core.listener import SilentListener
    from luthier.stages.adapt.running import ProgressOf

    seen: list[str] = []

    class Heard(SilentListener):
        def track(self, description: str, total: float | None, unit: str = "", done: float = 0) -> object:  # type: ignore[override]
            seen.append(description)
            return super().track(description, total, unit, done)

    with ProgressOf("told the format", Heard()).track("answering (choose)", 3):
        pass
    assert seen == ["told the format: answering (choose)"]
