"""Runs the command line on one broken input, and judges what a person sees."""

from __future__ import annotations

import io
import json
import re
import shutil
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import bases
import pyarrow.parquet
from cases import Case

ACCEPTED, REFUSED, BADLY, SILENTLY, CRASHED, HUNG = (
    "accepted", "refused well", "refused badly", "accepted in silence", "traceback", "hang"
)  # fmt: skip
_ROW = re.compile(r"^.+:\d+: .+; expected .+; .+$", re.DOTALL)
_TO_DO = re.compile(
    r"(?:^|[.:;,(?] |, or |\bor |\n\s*)(?:add|ask|check|choose|close|copy|correct|download|export|extract|fill|fix|"
    r"flatten|give|keep|leave|map|merge|mend|name|open|put|remove|rename|repeat|run|save|say|see|set|shorten|simplify|"
    r"split|start|take|unpack|use|write)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Judgement:
    """What came of an input, why it is judged so, and the words that a person read."""

    outcome: str
    why: str = ""
    words: str = ""
    verified: bool = False
    """For what was accepted: whether a second reader, or the rows left alone, confirm that it could be."""


class ReachedModelError(Exception):
    """Raised where a model would be loaded: everything before it passed."""


@dataclass(frozen=True)
class Seen:
    """What one command did: exit status, standard output and error, an exception nobody caught."""

    code: int
    out: str
    err: str
    fault: str = ""


class Place:
    """A folder with a tiny model and valid rows, in which inputs are put one after another."""

    def __init__(self, folder: Path) -> None:
        from luthier.testing import tiny_model

        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "model").exists():
            tiny_model(folder / "model")
        valid = bases.write([bases.DIALECTS["classification"].row(n) for n in range(60)], "csv")
        (folder / "rows.csv").write_bytes(valid.data)
        _stop_before_models()

    def judge(self, case: Case, *, preview: bool = True) -> Judgement:
        """Run the commands of a case, and judge them; without `data preview` it is faster."""
        if case.stage is not None:
            return self._recipe(case)
        path = self.folder / f"input{case.suffix}"
        path.write_bytes(case.broken.data)
        check = self._call("data", "check", str(path), "--json", *case.options)
        if check.fault:
            return Judgement(CRASHED, "data check", check.fault)
        judged = self._data(case, path, check)
        if not preview:
            return judged
        shown = self._call("data", "preview", str(path), "-m", str(self.folder / "model"), "--json", *case.options)
        if shown.fault:
            return Judgement(CRASHED, "data preview", shown.fault)
        if shown.code == 2 and (why := _why_bad(self._plain(shown.err), path.name, None)):
            return Judgement(BADLY, f"data preview: {why}", self._plain(shown.err))
        return judged

    # ------------------------------------------------------------------------------------------------ data

    def _data(self, case: Case, path: Path, seen: Seen) -> Judgement:
        line = case.broken.line
        if seen.code == 2:
            text = self._plain(seen.err)
            if case.broken.same:
                return Judgement(BADLY, "a valid file was refused", text)
            why = _why_bad(text, path.name, line)
            return Judgement(BADLY if why else REFUSED, why, text)
        found = json.loads(seen.out)
        bad = [self._plain(row) for row in found["bad_rows"]]
        if wrong := [row for row in bad if not _ROW.match(row) or path.name not in row]:
            return Judgement(BADLY, "a bad row lacks file, line, what, expected or fix", wrong[0])
        problem = self._plain(found.get("problem", ""))
        if problem and not _TO_DO.search(problem):
            return Judgement(BADLY, "nothing to do is said", problem)
        if line is not None and bad and not any(f"{path.name}:{line}:" in row for row in bad):
            return Judgement(BADLY, f"line {line} is not named", "\n".join(bad[:3]))
        if case.broken.wrong and not bad and not problem:
            return Judgement(SILENTLY, "it is wrong by construction", found["mapping"])
        if case.broken.same and (bad or found["rows"] != bases.ROWS):
            return Judgement(BADLY, "a valid file was not read as it is", "\n".join(bad[:3]))
        if lost := _rows_lost(case, found["rows"] + len(bad)):
            return Judgement(SILENTLY, lost, found["description"])
        return Judgement(REFUSED if bad or problem else ACCEPTED, "", "\n".join(bad[:3]) or problem, lost is not None)

    # --------------------------------------------------------------------------------------------- recipes

    def _recipe(self, case: Case) -> Judgement:
        data = case.broken.data.replace(b"{folder}", str(self.folder).encode())
        path = self.folder / "input.yaml"
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        if case.stage == "tune":
            path.write_bytes(data)
            seen = self._call("tune", str(path), "--run", str(run))
        else:
            path = self._begun_run(run, str(case.stage), data)
            seen = self._call("resume", str(run))
        if seen.fault and "ReachedModelError" not in seen.fault.splitlines()[-1]:
            return Judgement(CRASHED, "luthier tune" if case.stage == "tune" else "luthier resume", seen.fault)
        if seen.fault or seen.code == 0:
            why = "it is wrong by construction" if case.broken.wrong else ""
            return Judgement(SILENTLY if why else ACCEPTED, why, "", _same_values(case))
        text = self._plain(seen.err)
        if case.broken.same:
            return Judgement(BADLY, "a valid recipe was refused", text)
        about_recipe = path.name in text
        why = _why_bad(text, path.name if about_recipe or case.broken.wrong else "", case.broken.line)
        return Judgement(BADLY if why else REFUSED, why, text)

    def _begun_run(self, run: Path, stage: str, recipe: bytes) -> Path:
        """Make a run directory of a stage as a pause leaves it, and put a recipe into it."""
        (run / "steps").mkdir(parents=True)
        manifest = {"schema_version": 1, "stage": stage, "status": "paused", "folder": str(Path.cwd())}
        (run / "manifest.json").write_text(json.dumps(manifest))
        (run / "recipe.yaml").write_bytes(recipe)
        return run / "recipe.yaml"

    # --------------------------------------------------------------------------------------------- calling

    def _call(self, *arguments: str) -> Seen:
        from typer.testing import CliRunner

        from luthier.cli.main import app

        result = CliRunner().invoke(app, list(arguments))
        fault = ""
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            written = io.StringIO()
            traceback.print_exception(*result.exc_info, file=written)  # type: ignore[misc]
            fault = self._plain(written.getvalue())
        return Seen(result.exit_code, result.stdout, result.stderr, fault)

    def _plain(self, text: str) -> str:
        """Take this machine's folder out of a text."""
        return text.replace(f"{self.folder}/", "")


def _stop_before_models() -> None:
    """Let every stage stop where a model would be loaded."""
    import typer.testing

    import luthier.api.running
    import luthier.stages.tune

    def stop(*_: object, **__: object) -> Any:
        raise ReachedModelError

    typer.testing._get_command = cache(typer.main.get_command)  # else all commands are built anew for each call
    luthier.stages.tune.load_tokenizer = stop
    luthier.api.running.run_stage = _only_tune(luthier.api.running.run_stage)


def _only_tune(run_stage: Any) -> Any:
    def run(name: str, *rest: Any) -> Any:
        if name != "tune":
            raise ReachedModelError
        return run_stage(name, *rest)

    return run


# ------------------------------------------------------------------------------------------- what a message needs


def _why_bad(text: str, name: str, line: int | None) -> str:
    """Return what a message lacks; empty if it has all."""
    if "Traceback" in text or not text.strip():
        return "no message"
    if name not in text:
        return "the file is not named"
    if line is not None and f"{name}:{line}:" not in text and "… and " not in text:
        return f"line {line} is not named"
    rows = [row for row in text.splitlines() if re.match(rf"^  .*{re.escape(name)}:\d+: ", row)]
    if any(not (_ROW.match(row) or (name.endswith(".yaml") and _TO_DO.search(row))) for row in rows):
        return "a line lacks what, expected or fix"
    return "" if rows or _TO_DO.search(text) else "nothing to do is said"


# -------------------------------------------------------------------------------- second opinion on what was accepted


def _rows_lost(case: Case, accounted: int) -> str | None:
    """Return how many rows another reader finds that are neither used nor named; empty: none; None: it cannot tell."""
    there = _rows_by_another_reader(case)
    if there is None:
        return None
    return f"another reader finds {there} rows, not {accounted}" if there != accounted else ""


def _rows_by_another_reader(case: Case) -> int | None:
    data, format = case.broken.data, case.base.partition("/")[2]
    try:
        if format == "parquet":
            return int(pyarrow.parquet.read_table(io.BytesIO(data)).num_rows)
        if b"\x00" in data:  # UTF-16 without a mark would pass for UTF-8
            return None
        text = data.decode("utf-8-sig")
        if format == "jsonl":
            return sum(bool(line.strip()) for line in text.split("\n"))
        if format == "json":
            value = json.loads(text)
            return len(value) if isinstance(value, list) else None
        if format in ("csv", "tsv"):
            import pandas

            return len(pandas.read_csv(io.StringIO(text), sep="\t" if format == "tsv" else ",", dtype=str))
    except Exception:  # whatever another reader cannot read, it says nothing about
        return None
    return None


def _same_values(case: Case) -> bool:
    """Say whether YAML's own full reader finds an accepted recipe to be a mapping without a key twice."""
    import yaml

    try:
        node = yaml.compose(case.broken.data.decode("utf-8-sig"))
    except Exception:
        return False
    pairs = [node]
    while pairs:
        current = pairs.pop()
        if isinstance(current, yaml.MappingNode):
            names = Counter(str(key.value) for key, _ in current.value)
            if max(names.values(), default=1) > 1:
                return False
            pairs += [value for _, value in current.value]
        elif isinstance(current, yaml.SequenceNode):
            pairs += current.value
    return isinstance(node, yaml.MappingNode)


def to_record(case: Case, judgement: Judgement) -> dict[str, Any]:
    """Return a line of the results; messages are cut, a traceback keeps its end."""
    words = judgement.words
    words = words[-600:] if judgement.outcome == CRASHED else words[:600]
    kept = asdict(judgement) | {"words": words.encode("utf-8", "backslashreplace").decode()}
    return {"index": case.index, "base": case.base, "mutation": case.mutation, **kept}
