"""Runs one tool's planted faults: each in a forked process of its own, with a time limit; answers are kept as JSON."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from faults import FAULTS, SECONDS, Fault

Plant = Callable[[Path], Mapping[str, Any]]
"""Given a folder to work in, plants a fault and measures: {"harm": bool, "measured": text}, or {"not": why}."""

_WARNING = re.compile(r"warn|dropp|skipp|truncat", re.IGNORECASE)
"""What a tool says of its own accord while it works: warnings, and that rows are dropped, skipped or cut."""


class NoSuchInput(Exception):  # noqa: N818
    """The tool has no input through which this fault could come in."""


class ToolError(Exception):
    """What a tool refused, passed on by a plant."""


def main(tool: str, versions: Mapping[str, str], settings: str, plants: Mapping[int, Plant]) -> None:
    """Run what was not run yet; `RESULTS FOLDER` come from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", type=int, nargs="*")
    given = parser.parse_args()
    kept: dict[str, Any] = json.loads(given.results.read_text()) if given.results.exists() else {}
    found = kept.get("faults", {})
    for fault in FAULTS:
        if (given.only and fault.number not in given.only) or (str(fault.number) in found and not given.only):
            continue
        print(f"{tool}: fault {fault.number}, {fault.title}", file=sys.stderr, flush=True)
        found[str(fault.number)] = _try(fault, plants.get(fault.number), given.work / tool / str(fault.number))
        ordered = dict(sorted(found.items(), key=lambda item: int(item[0])))
        record = {"tool": tool, "versions": dict(versions), "settings": settings, "faults": ordered}
        given.results.parent.mkdir(exist_ok=True)
        given.results.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _try(fault: Fault, plant: Plant | None, folder: Path) -> dict[str, Any]:
    if plant is None:
        return {"outcome": "no such input", "measured": "the tool has no input for this"}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(plant, folder)
    ended = _wait(child, began)
    answer = folder / "answer.json"
    found: dict[str, Any] = json.loads(answer.read_text()) if answer.exists() else {}
    output = (folder / "output.txt").read_text(errors="replace")
    lines = list(dict.fromkeys(line.strip()[:300] for line in output.splitlines() if _WARNING.search(line)))
    lines = [_clean(line, folder) for line in lines]
    about = [line for line in lines if _is_about(line, fault)]
    found |= {"warning_lines": len(lines), "about_it": about[:4], "warnings": lines[:20]}
    found["seconds"] = round(time.monotonic() - began, 1)
    found["outcome"] = _judge(found, ended)
    for key in ("error", "measured"):
        if key in found:
            found[key] = _clean(found[key], folder)
    return found


def _is_about(line: str, fault: Fault) -> bool:
    """A warning is about the fault if it holds one of its words; that something is deprecated is about nothing."""
    return "deprecat" not in line.lower() and any(word in line.lower() for word in fault.words)


def _is_ours(error: BaseException) -> bool:
    """Whether an error arose in these files: then nothing was measured, and no tool gets credit for it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).parent == Path(__file__).parent and not isinstance(error, ToolError)


def _judge(found: dict[str, Any], ended: bool) -> str:
    if found.pop("failed", False):
        return "not measured"
    if "not" in found:
        return "no such input"
    if not ended:
        return "silently harmed"
    if "harm" in found and not found["harm"]:
        return "harmless"
    if "error" in found or "harm" not in found:
        return "stopped with an error"
    return "warned" if found["about_it"] else "silently harmed"


def _child(plant: Plant, folder: Path) -> None:
    os.setsid()
    out = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    warnings.simplefilter("default")
    os.chdir(folder)
    try:
        found = dict(plant(folder))
    except NoSuchInput as why:
        found = {"not": True, "measured": str(why)}
    except BaseException as error:
        traceback.print_exc()
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        found = {"error": f"{type(error).__name__}: {first}"[:400]}
        if _is_ours(error):
            found["failed"] = True
    (folder / "answer.json").write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


def _wait(child: int, began: float) -> bool:
    while time.monotonic() - began < SECONDS:
        done, _ = os.waitpid(child, os.WNOHANG)
        if done:
            return True
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _clean(text: str, folder: Path) -> str:
    """Leave out where the files lay: it says nothing."""
    for place in (folder, folder.parent, folder.parent.parent):
        text = text.replace(str(place) + "/", "").replace(str(place), "FOLDER")
    text = text.replace(str(Path(__file__).parent) + "/", "")
    return re.sub(r"\x1b\[[0-9;]*m", "", re.sub(r"/\S*/site-packages/", "", text))
