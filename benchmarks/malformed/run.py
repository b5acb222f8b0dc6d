"""5,000 malformed inputs: what does a person see?

    python benchmarks/malformed/run.py                   # resumable; about 20 minutes on 2 idle cores
    python benchmarks/malformed/run.py --only 4711       # one input, with what it printed
    python benchmarks/malformed/run.py --report          # only RESULTS.md

Valid files of every dialect in every format, and recipes of every stage, are broken by seeded mutations. Each goes
through `luthier data check` and `data preview`, or `luthier tune RECIPE` (other stages: `luthier resume RUN`) up to
where a model would be loaded, in a worker process that is ended after 5 seconds of computing (not by the clock on the
wall, since the machine may be busy), or after ten minutes of any time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import cases
import report
from judging import CRASHED, HUNG, Judgement, Place, to_record
from shared.machine import card

from luthier.core.files import read_json, write_json

INPUTS, LIMIT_SECONDS, _LONGEST_SECONDS = 5_000, 5.0, 600.0


def main() -> None:
    """Judge the inputs that are not judged yet, then write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for what is judged (not committed)")
    parser.add_argument("--name", default="now", help="name of the results: first (before anything was mended) or now")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="how many inputs")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--only", type=int, metavar="N", help="judge input N here and print all")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    if options.only is not None:
        show(options.only)
        return
    if not options.report:
        options.work.mkdir(parents=True, exist_ok=True)
        records = judge_all(options.work / f"{options.name}.jsonl", options.inputs, options.workers)
        write_json(HERE / "results" / f"{options.name}.json", report.summary(records) | {"machine": card()})
    stored = {name: read_json(p) for name in ("first", "now") if (p := HERE / "results" / f"{name}.json").exists()}
    (HERE / "RESULTS.md").write_text(report.render(stored, LIMIT_SECONDS), encoding="utf-8")


def show(index: int) -> None:
    """Judge one input in this process, and print it."""
    case = cases.make(index)
    print(f"{case.base} {case.mutation} {case.options}\n{case.broken.data[:2_000]!r}")
    print(f"wrong: {case.broken.wrong}, line: {case.broken.line}, same: {case.broken.same}")
    with tempfile.TemporaryDirectory() as folder:
        judged = Place(Path(folder)).judge(case)
    print(f"{judged.outcome}: {judged.why}\n{judged.words}")


def judge_all(kept: Path, inputs: int, workers: int) -> list[dict[str, Any]]:
    """Judge all inputs; what is judged is kept line by line, so that a stopped program goes on."""
    records = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {record["index"] for record in records}
    left = [index for index in range(inputs) if index not in done]
    with ThreadPoolExecutor(workers) as pool, kept.open("a", encoding="utf-8") as file:
        for number, found in enumerate(_found(pool, left, workers), start=1):
            file.write(json.dumps(found) + "\n")
            file.flush()
            records.append(found)
            if number % 100 == 0:
                print(f"{len(records):,} of {inputs:,}", file=sys.stderr, flush=True)
    return [record for record in records if record["index"] < inputs]


def _found(pool: ThreadPoolExecutor, left: list[int], workers: int) -> Iterator[dict[str, Any]]:
    """Yield records as they come; each worker process has a thread that watches it."""
    import queue

    found: queue.Queue[dict[str, Any] | None] = queue.Queue()
    futures = [pool.submit(_watch, left[start::workers], found) for start in range(workers)]
    for _ in futures:
        while (record := found.get()) is not None:
            yield record
    for future in futures:
        future.result()


def _watch(indices: list[int], found: Any) -> None:
    """Send inputs to a worker one by one; where it dies, a new one takes the next."""
    worker = None
    try:
        for index in indices:
            worker = worker or Worker()
            record = worker.judge(index)
            if record is None:
                hung = worker.end() in (-signal.SIGPROF, -signal.SIGKILL)
                why = f"no answer within {LIMIT_SECONDS:g} s" if hung else "the process died"
                record = to_record(cases.make(index), Judgement(HUNG if hung else CRASHED, why))
                worker = None
            found.put(record)
    finally:
        if worker is not None:
            worker.end()
        found.put(None)


class Worker:
    """A process that judges inputs in a folder of its own."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its death is an end of file here
        self._pipe.recv()

    def judge(self, index: int) -> dict[str, Any] | None:
        """Return the record of an input; None if the worker took too long or died."""
        self._pipe.send(index)
        try:
            return self._pipe.recv() if self._pipe.poll(_LONGEST_SECONDS) else None
        except (EOFError, ConnectionError):
            return None

    def end(self) -> int | None:
        """End the process; returns its exit code, negative for a signal."""
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return self._process.exitcode


def _work(pipe: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        place = Place(Path(folder))
        place.judge(cases.make(0))  # what is imported late is imported now
        place.judge(next(case for k in range(200) if (case := cases.make(k)).stage == "tune"))
        pipe.send("ready")
        while True:
            case = cases.make(pipe.recv())
            signal.setitimer(signal.ITIMER_PROF, LIMIT_SECONDS)  # seconds of computing; the signal ends the process
            record = to_record(case, place.judge(case))
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send(record)


if __name__ == "__main__":
    main()
