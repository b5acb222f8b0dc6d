"""The command line in processes that are forked from one which has imported everything, and shot from outside.

A kill comes when the process has used so many seconds of processor time: that is as far into the work on a busy machine
as on an idle one, and still a real SIGKILL at a moment that nothing in the process knows of.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit status (below zero: the signal), processor seconds it used, and what it wrote."""

    code: int
    seconds: float
    said: str


class Forks:
    """A server of processes.

    Args:
        plan: A plan of `adapt` that every run takes instead of measuring the machine; None to measure.
    """

    def __init__(self, plan: Path | None = None) -> None:
        surroundings = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200"}
        command = [sys.executable, __file__, *([str(plan)] if plan else [])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings
        )

    def call(self, arguments: list[str], folder: Path, kill_at: float | None = None) -> Ended:
        """Call the command line in a folder; it is killed when it has used `kill_at` seconds, if it has not ended."""
        assert self._process.stdin
        assert self._process.stdout
        request = {"arguments": arguments, "folder": str(folder), "kill_at": kill_at}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        said = folder / "said.txt"  # not there where the kill came before anything else
        return Ended(answer["code"], answer["seconds"], said.read_text(errors="replace") if said.exists() else "")

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def serve(plan: Path | None) -> None:
    """Import, then fork once a request and say how the fork ended."""
    for name in ("luthier.stages.adapt", "luthier.stages.tune", "luthier.stages.prompt", "luthier.stages.baseline",
                 "peft", "sklearn.linear_model", "sklearn.feature_extraction.text", "torch.utils.tensorboard",
                 "transformers.models.llama.modeling_llama", "luthier.reporting.screen"):  # fmt: skip
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_the_command_line(request, plan)
        if request["kill_at"] is not None:
            _shoot(child, request["kill_at"])
        _, ended, used = os.wait4(child, 0)
        seconds = used.ru_utime + used.ru_stime
        print(json.dumps({"code": os.waitstatus_to_exitcode(ended), "seconds": round(seconds, 3)}), flush=True)


def _shoot(child: int, at: float) -> None:
    """Kill a child when it has used so many seconds; one that has ended before waits to be collected."""
    while True:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":
            return
        if (int(fields[11]) + int(fields[12])) / _TICKS >= at:
            os.kill(child, signal.SIGKILL)
            return
        time.sleep(0.002)


def _be_the_command_line(request: dict[str, Any], plan: Path | None) -> None:
    from luthier.cli.main import main
    from luthier.evaluation import answering
    from luthier.stages import adapt
    from luthier.stages.adapt.plan import Plan

    answering.WAVE = 20  # few rows are several waves
    if plan is not None:
        adapt.measure = lambda *_: None
        adapt.make_plan = lambda *_: Plan.from_json(json.loads(plan.read_text()))
    os.chdir(request["folder"])
    for number in (1, 2):
        os.dup2(os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv = ["luthier", *request["arguments"]]
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(99)


if __name__ == "__main__":
    serve(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
