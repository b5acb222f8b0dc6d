"""What every stage begins with: the examples, what kind of task they are, and their three parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator

from luthier.core.config import Config, SectionError
from luthier.core.errors import DataError, RunError, unknown_name
from luthier.core.protocols import Metric
from luthier.core.run import RunDirectory
from luthier.core.types import Example
from luthier.data.diversity import near_duplicates
from luthier.data.labels import add_labels
from luthier.data.lengths import LengthStatistics, length_statistics, output_limit
from luthier.data.mapping import PartName
from luthier.data.options import ReadOptions
from luthier.data.render import Renderer
from luthier.data.row_store import is_large
from luthier.data.sources import Dataset, read_examples
from luthier.data.splits import Parts, split
from luthier.data.tasks import CORPUS, KINDS, Task, guess_task, require_different_answers
from luthier.data.thinking import without_thoughts
from luthier.evaluation.metrics.fitting import fitting_metrics


class DataConfig(Config):
    """Where the examples are and how they are read."""

    path: str = Field(description="a CSV, JSON, JSON Lines or Parquet file, or a folder of them")
    read: ReadOptions = Field(ReadOptions(), description="columns; what is left out is guessed")
    kind: str | None = Field(None, description="kind of task; guessed if left out")
    seed: int = Field(0, description="seed of the division into tune, choose and confirm")
    thoughts: Literal["train", "mask"] = Field(
        "train", description="whether <think>…</think> before an answer is learned; it is never scored"
    )
    stream: bool | None = Field(
        None,
        description="read rows from disk instead of holding them in memory (tune alone); null: from 1 GiB of files on",
    )
    fold: list[int] | None = Field(
        None, description="[k, K]: fold k of K confirms (k = 0: none), the other rows are divided; null: no folds"
    )

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str | None) -> str | None:
        if kind is not None and kind not in (*KINDS, CORPUS):
            raise SectionError([((), f"{unknown_name('task', kind, KINDS)} Write one of these.")])
        return kind

    @field_validator("fold")
    @classmethod
    def _one_of_its_folds(cls, fold: list[int] | None) -> list[int] | None:
        if fold is not None and not (len(fold) == 2 and 0 <= fold[0] <= fold[1] and fold[1] >= 2):
            raise ValueError("not [k, K] with two folds or more and k from 0 (no fold) to K, such as [1, 5]")
        return fold


@dataclass(frozen=True)
class Material:
    """Examples, task and parts; the same from the same config, wherever it is read.

    Attributes:
        dataset: What was read.
        task: What kind of task it is, and what follows.
        parts: The rows divided.
        sample: Of rows on disk the parts with some of the rows to learn from, which are looked at for all.
    """

    dataset: Dataset
    task: Task
    parts: Parts
    sample: Parts | None = None

    @property
    def looked_at(self) -> Parts:
        """The parts in memory: all rows, or the sample."""
        return self.sample or self.parts

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The task's metrics, the primary one first, and how answers end.

        Their labels are those of all rows: one that no row to learn from has is missed, but is no error.
        """
        examples = self.dataset.examples if self.sample is None else self.sample.all_rows
        texts = [without_thoughts(text) for example in examples for text in example.references]
        labels = add_labels(self.task.labels, texts) if self.task.labels else ()
        return tuple(fitting_metrics([*self.task.metrics, "empty", "cut"], labels, texts))

    @cached_property
    def near_duplicates(self) -> float | None:
        """Share of the rows to learn from that nearly repeat an earlier one, from 0 to 1; None if nobody looked."""
        return None if self.sample else near_duplicates(self.parts.tune) / len(self.parts.tune)


def read_material(config: DataConfig, run: RunDirectory | None = None) -> Material:
    """Read, check and divide the examples.

    Raises:
        DataError: for bad rows, too few rows, answers that are all equal, or data that is read from disk.
        RunError: if the data has changed since the run began.
    """
    if reads_from_disk(config):
        raise DataError(
            f"{config.path}: rows of files this large are read from disk, which luthier tune alone does; all else "
            "needs them in memory. Use luthier tune, take a sample of the rows, or, if they fit, data.stream=false."
        )
    dataset = read_examples(config.path, config.read)
    if run is not None:
        require_same_data(run, config.path, dataset.digest)
    require_different_answers(dataset.examples)
    fold = (config.fold[0], config.fold[1]) if config.fold else None
    parts = split(dataset.examples, config.seed, given=dataset.given, fold=fold)
    task = guess_task(parts.tune, config.kind)
    if run is not None:
        run.update(
            data={"path": config.path, "sha256": dataset.digest, "rows": len(dataset), "parts": parts.sizes},
            mapping=dataset.mapping.to_json(),
            task=task.to_json(),
        )
        keep_rows(run, dataset, parts)
    return Material(dataset, task, parts)


def reads_from_disk(config: DataConfig) -> bool:
    """Say whether rows are read from disk: by the recipe, or else by the size of the files alone."""
    return is_large(config.path) if config.stream is None else config.stream


def require_same_data(run: RunDirectory, path: str, digest: str) -> None:
    """Refuse to go on with a run on other data than it began with.

    Raises:
        RunError: with both digests.
    """
    before = run.manifest.get("data", {}).get("sha256", digest)
    if before != digest:
        raise RunError(
            f"{path} has changed since {run.path} began (SHA-256 {before[:12]}, now {digest[:12]}): going on would mix "
            "two data sets. Put the file back, or start a new run."
        )


def require_same_model(run: RunDirectory, digest: str) -> None:
    """Refuse to go on with a run on other weights than it began with.

    Raises:
        RunError: with both digests.
    """
    before = run.manifest.get("model", {}).get("digest", digest)
    if before != digest:
        raise RunError(
            f"The model of {run.path} has changed since the run began (digest {before[:12]}, now {digest[:12]}): "
            "going on would mix two models. Put its files back, or start a new run."
        )


def keep_rows(run: RunDirectory, dataset: Dataset, parts: Parts) -> None:
    """Keep the rows as they were, and those that were left out."""
    names: tuple[PartName, ...] = ("tune", "choose", "confirm")
    run.files.write_lines("parts.jsonl", ({"part": name, **e.to_json()} for name in names for e in parts[name]))
    if dataset.bad_rows and not (run.path / "bad_rows.jsonl").exists():
        dataset.save_bad_rows(run.path / "bad_rows.jsonl")


@dataclass(frozen=True)
class Lengths:
    """Token counts of prompts and answers, and the output limit that follows from them."""

    prompt: LengthStatistics
    answer: LengthStatistics
    limit: int

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON."""
        return {"prompt": self.prompt.to_json(), "answer": self.answer.to_json(), "output_limit": self.limit}


def measure_lengths(renderer: Renderer, parts: Parts) -> Lengths:
    """Count tokens on tune and choose; references count with their end-of-turn token.

    The same limit serves recipe, evaluation and chat, so that a cut answer is never an accident of one of them.
    """
    seen: Sequence[Example] = (*parts.tune, *parts.choose)
    answers = [len(renderer.answer_ids(text)) + 1 for example in seen for text in example.references]
    prompts = [len(renderer.prompt_ids(example.messages)) for example in seen]
    return Lengths(length_statistics(prompts), length_statistics(answers), output_limit(answers))
