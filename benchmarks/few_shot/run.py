"""Few-shot evaluation with a long block of demonstrations: Luthier against plain transformers, in one process.

    python benchmarks/few_shot/run.py --data DATA               # resumable; about 45 minutes on 2 idle cores
    python benchmarks/few_shot/run.py --data DATA --items 50    # fewer items
    python benchmarks/few_shot/run.py --report                  # only RESULTS.md, from the results that are there

200 items are asked with the same demonstrations before each question, about 700 tokens of them. Two cases: labels are
generated (AG News), and labels are scored as options (SST-2). Rounds are interleaved: Luthier, plain, Luthier, plain.
The plain side (`plain.py`) runs in the batch size that was fastest for it, which is tried first on a part of the items.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import report
from plain import PlainModel
from shared.machine import card
from shared.rows import add_data_option, data_folder, draw, lines_of

from luthier.core.files import read_json, write_json
from luthier.core.types import Decoding, Example, Message, Request, chat_turns
from luthier.data.labels import normalize_label
from luthier.data.sources import read_examples
from luthier.data.tasks import Task, guess_task
from luthier.generation.drive import drive
from luthier.generation.engine import BatchEngine
from luthier.generation.local import LocalModel, open_local
from luthier.generation.readers import ModelReader
from luthier.generation.sequences import Turns
from luthier.models.memory import forget_peak_memory, peak_memory_bytes, release_memory
from luthier.models.source import DEFAULT_MODEL, find_model
from luthier.prompting.asking import Known
from luthier.prompting.format_instruction import format_instruction
from luthier.prompting.strategies.few_shot import FewShot, FewShotConfig

CASES = {"generate": "ag_news", "score": "sst2"}
ITEMS, ROUNDS, SEED = 200, 2, 0
BLOCK_TOKENS, MAX_TOKENS = 700, 8
KNOWN_ROWS = 200
"""Rows that demonstrations are drawn from."""
BATCH_SIZES, TRIED_ITEMS = (1, 8, 16), 16


@dataclass
class Case:
    """What is asked: a model on both sides, the strategy, the items and their labels."""

    kind: str
    local: LocalModel
    plain: PlainModel
    task: Task
    strategy: FewShot
    items: Sequence[Example]

    @property
    def conversations(self) -> list[tuple[Message, ...]]:
        """Demonstrations and question of each item."""
        return [self.strategy.messages(item) for item in self.items]


@dataclass
class Measured:
    """One side's pass over items: what it answered, and what that took."""

    answers: list[Any] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    memory_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "tokens": self.tokens, "memory_bytes": self.memory_bytes}


def main() -> None:
    """Measure what has no result yet, then write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for extracts (not committed)")
    parser.add_argument("--items", type=int, default=ITEMS, help="questions asked")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="passes of each side")
    parser.add_argument("--only", choices=CASES, help="one case")
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md from the results that are there")
    options = parser.parse_args()
    if not options.report:
        data = data_folder(options.data)
        options.work.mkdir(parents=True, exist_ok=True)
        (HERE / "results").mkdir(exist_ok=True)
        for kind in [options.only] if options.only else CASES:
            if not _is_done(kind, options.items, options.rounds):
                found = measure(open_case(kind, data, options.work, options.items), options.rounds)
                write_json(HERE / "results" / f"{kind}.json", found)
    results = {kind: read_json(path) for kind in CASES if (path := HERE / "results" / f"{kind}.json").exists()}
    (HERE / "RESULTS.md").write_text(report.render(results, CASES), encoding="utf-8")


def _is_done(kind: str, items: int, rounds: int) -> bool:
    path = HERE / "results" / f"{kind}.json"
    stored = read_json(path) if path.exists() else {}
    return bool(stored) and (stored["items"], len(stored["rounds"])) == (items, rounds)


# ---------------------------------------------------------------------------------------------------------- the case


def open_case(kind: str, data: Path, work: Path, items: int) -> Case:
    """Read the rows and load the model twice, in fp32: once for each side."""
    name = CASES[kind]
    known, asked = (
        _examples(work / f"{name}.{part}.jsonl", draw(lines_of(data, name, part), rows, SEED))
        for part, rows in (("train", KNOWN_ROWS), ("test", items))
    )
    source = find_model(DEFAULT_MODEL)
    local, plain = open_local(source, precision="fp32"), PlainModel(source.folder)
    task = guess_task(known)
    strategy = with_block(BLOCK_TOKENS, known, format_instruction(task, known), asked, local)
    case = Case(kind, local, plain, task, strategy, asked)
    for turns in case.conversations[:3]:
        assert plain.prompt(chat_turns(turns)) == local.renderer.prompt_ids(turns), "the two sides ask differently"
    return case


def _examples(path: Path, lines: list[str]) -> tuple[Example, ...]:
    path.write_text("".join(lines), encoding="utf-8")
    return read_examples(str(path)).examples


def with_block(
    tokens: int, known: Sequence[Example], instruction: str, asked: Sequence[Example], local: LocalModel
) -> FewShot:
    """Return the strategy with as many demonstrations as come nearest to a number of tokens that all prompts share."""
    tried: dict[int, FewShot] = {}
    for count in range(1, len(known)):
        config = FewShotConfig(examples=count, instruction=instruction, max_tokens=MAX_TOKENS, seed=SEED)
        strategy = FewShot(config, Known(tuple(known)))
        shared = len(common_block([local.renderer.prompt_ids(strategy.messages(item)) for item in asked[:8]]))
        tried.setdefault(abs(shared - tokens), strategy)
        if shared > tokens:
            break
    return tried[min(tried)]


def common_block(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Return the ids that all prompts begin with."""
    block = []
    for ids in zip(*prompts, strict=False):
        if len(set(ids)) > 1:
            break
        block.append(ids[0])
    return block


# --------------------------------------------------------------------------------------------------------- measuring


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Find the plain side's best batch size, then let both sides answer all items in turn."""
    with counted(case) as count:
        sides = Sides(case, count)
        ours, theirs = sides.luthier, sides.plain
        few = case.items[:: max(1, len(case.items) // TRIED_ITEMS)][:TRIED_ITEMS]
        ours(few[:4]), theirs(few[:4], 4)  # what is made once is made before the clock runs
        tried = {batch: theirs(few, batch).seconds / len(few) for batch in BATCH_SIZES}
        best = min(tried, key=lambda batch: tried[batch])
        print(f"{case.kind}: plain transformers, seconds an item by batch size: {tried}", file=sys.stderr, flush=True)
        passes = []
        for number in range(rounds):
            passes.append((ours(case.items), theirs(case.items, best)))
            times = " against ".join(f"{one.seconds:.1f} s" for one in passes[-1])
            print(f"{case.kind}: round {number + 1} of {rounds}: {times}", file=sys.stderr, flush=True)
    own, plain = passes[-1]
    prompts = [case.local.renderer.prompt_ids(turns) for turns in case.conversations]
    return {
        "data": CASES[case.kind],
        "items": len(case.items),
        "demonstrations": case.strategy.config.examples,
        "shared_tokens": len(common_block(prompts)),
        "prompt_tokens": sum(map(len, prompts)),
        "options": len(case.task.labels),
        "max_tokens": MAX_TOKENS,
        "batch_sizes": [{"size": size, "seconds_an_item": seconds} for size, seconds in tried.items()],
        "best_batch": best,
        "rounds": [{"luthier": one.to_json(), "plain": other.to_json()} for one, other in passes],
        "right": {"luthier": _right(case, own), "plain": _right(case, plain)},
        **(compared_texts if case.kind == "generate" else compared_scores)(case, own, plain),
        "machine": card(),
    }


class Sides:
    """Both sides' passes, timed in the same way."""

    def __init__(self, case: Case, count: Callable[[], int]) -> None:
        self._case = case
        self._count = count

    def luthier(self, items: Sequence[Example]) -> Measured:
        """Answer items in one call of the model."""
        case = self._case
        if case.kind == "generate":
            return self._timed(lambda: [answer.text for answer in drive(case.strategy, case.local, items)])
        labels = case.task.labels

        def score() -> list[Any]:
            asked = [Request(case.strategy.messages(item), Decoding(), labels) for item in items]
            return [completion.logps for completion in case.local.complete(asked)]

        return self._timed(score)

    def plain(self, items: Sequence[Example], batch: int) -> Measured:
        """Answer items in batches."""
        case = self._case
        turns = [chat_turns(case.strategy.messages(item)) for item in items]
        if case.kind == "generate":
            stops = sorted(case.local.renderer.template.stop_ids)
            return self._timed(lambda: case.plain.generate(turns, stops, MAX_TOKENS, batch))
        return self._timed(lambda: case.plain.score(turns, case.task.labels, batch))

    def _timed(self, work: Callable[[], list[Any]]) -> Measured:
        """Do the work; memory is what it took on top of both loaded models."""
        forget_peak_memory()
        before, counted_before = _resident_bytes(), self._count()
        began = time.perf_counter()
        answers = work()
        seconds = time.perf_counter() - began
        memory = max(0, peak_memory_bytes() - before) if before else 0
        release_memory()
        return Measured(answers, seconds, self._count() - counted_before, memory)


@contextmanager
def counted(case: Case) -> Iterator[Callable[[], int]]:
    """Count the tokens that go through either side's backbone."""
    total = [0]

    def add(tokens: int) -> None:
        total[0] += tokens

    def before(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        add(int(named["input_ids"].numel()))

    hooks = [case.local.loaded.module.base_model.register_forward_pre_hook(before, with_kwargs=True)]
    hooks.append(case.plain.count_tokens(add))
    try:
        yield lambda: total[0]
    finally:
        for hook in hooks:
            hook.remove()


def _resident_bytes() -> int:
    """Return the memory the process holds now; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


# ---------------------------------------------------------------------------------------------------------- answers


def _predictions(case: Case, found: Measured) -> list[str]:
    if case.kind == "score":
        return [case.task.labels[scores.index(max(scores))] for scores in found.answers]
    return [answer if isinstance(answer, str) else answer.text for answer in found.answers]


def _right(case: Case, found: Measured) -> int:
    pairs = zip(case.items, _predictions(case, found), strict=True)
    return sum(normalize_label(item.reference) == normalize_label(said) for item, said in pairs)


def compared_texts(case: Case, own: Measured, plain: Measured) -> dict[str, Any]:
    """Count equal texts; of each other one say where it parts, and how near the two best logits were there."""
    differing = [i for i, said in enumerate(own.answers) if said != plain.answers[i].text]
    divergences = []
    if differing:  # once more, with the gaps recorded: the same prompts together give the same bits
        prompts = [case.local.renderer.prompt_ids(turns) for turns in case.conversations]
        turns = Turns(case.local.renderer.template.stop_ids, lambda ids: "")
        engine = BatchEngine(ModelReader(case.local.model, None), turns, record_gaps=True)
        jobs = engine.generate(prompts, [Decoding(max_tokens=MAX_TOKENS)] * len(prompts))
        for i in differing:
            ours, theirs = jobs[i].tokens, plain.answers[i].tokens
            at = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
            if at is None:
                at = min(len(ours), len(theirs)) - 1
            divergences.append(
                {
                    "item": i,
                    "at": at,
                    "luthier": own.answers[i],
                    "plain": plain.answers[i].text,
                    "gap_luthier": jobs[i].gap[at],
                    "gap_plain": case.plain.gap_after([*prompts[i], *theirs[:at]]),
                }
            )
    return {"equal": len(own.answers) - len(differing), "divergences": divergences}


def compared_scores(case: Case, own: Measured, plain: Measured) -> dict[str, Any]:
    """Count equal choices; of each other one say how near the two best options were. Also the largest difference."""
    ours, theirs = _predictions(case, own), _predictions(case, plain)
    divergences = [
        {
            "item": i,
            "at": None,
            "luthier": ours[i],
            "plain": theirs[i],
            "gap_luthier": _gap(own.answers[i]),
            "gap_plain": _gap(plain.answers[i]),
        }
        for i in range(len(ours))
        if ours[i] != theirs[i]
    ]
    pairs = [pair for a, b in zip(own.answers, plain.answers, strict=True) for pair in zip(a, b, strict=True)]
    return {
        "equal": len(ours) - len(divergences),
        "divergences": divergences,
        "largest_difference": max(abs(a - b) for a, b in pairs),
    }


def _gap(scores: Sequence[float]) -> float:
    first, second, *_ = sorted(scores, reverse=True)
    return first - second


if __name__ == "__main__":
    main()
