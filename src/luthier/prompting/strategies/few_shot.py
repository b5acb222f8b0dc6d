"""Few-shot prompting: rows to learn from are shown, with their answers, as earlier turns of the conversation.

Papers: Brown et al. 2020, "Language Models are Few-Shot Learners", arXiv:2005.14165; for the most similar rows as
demonstrations, Liu et al. 2022, "What Makes Good In-Context Examples for GPT-3?", arXiv:2101.06804.

Equation: with demonstrations (x_1, y_1) … (x_k, y_k) before the question x, the answer is argmax_y p(y | x_1 y_1 … x_k
y_k x), found greedily. Nothing is trained.

Differences from the papers: demonstrations are turns of the model's own chat template rather than one text; rows are
compared by TF-IDF (Liu et al. by sentence embeddings). Each user's prompt is as it is in the data; the instruction, if
there is one, is told once, before the first of them.

When to use it: there are too few rows to tune on, or nothing may be trained; it shows form and labels better than
words do. When not: hundreds of rows and a small model, where tuning costs less for every answer. Cost: prompts are
k + 1 times as long; with `random` all questions share that beginning.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import islice

from pydantic import Field

from luthier.core.errors import ConfigError, DataError
from luthier.core.types import Answer, Completion, Example, Message, Request
from luthier.prompting.asking import NOTHING_KNOWN, AskingConfig, Known, ask_once, instructed
from luthier.prompting.demonstrations import DEMONSTRATIONS, Selection


class FewShotConfig(AskingConfig):
    """Few-shot settings."""

    strategy: str = "few_shot"
    instruction: str = Field("", description="told once, before the first prompt of the conversation")
    seed: int = Field(0, description="seed of sampling, and of random demonstrations")
    examples: int = Field(4, ge=1, description="demonstrations shown before a question")
    selection: str = Field(
        "random", description="random: the same ones for all questions; nearest: the rows most similar to the question"
    )
    prompt_tokens: int | None = Field(
        None, ge=1, description="most tokens of a prompt with demonstrations; as many as the model takes if left out"
    )


class FewShot:
    """Shows rows to learn from, then asks once.

    A demonstration is shown as a whole or not at all: where the prompt would grow too long, those that were chosen last
    (random) or are least similar (nearest) are left out. Rows longer than their share of the room come in only where
    there are not enough others. How many were shown stands in each answer's scores as `demonstrations`; 0 means that
    the question was asked zero-shot.

    Raises:
        ConfigError: if no rows are known, or a budget is given and nothing to count tokens with.
    """

    name = "few_shot"
    Config = FewShotConfig

    def __init__(self, config: FewShotConfig, known: Known = NOTHING_KNOWN) -> None:
        rows = [row for row in known.examples if row.references]
        if not rows:
            raise ConfigError(
                "few_shot shows rows to learn from, and there are none. Give rows with right answers (a run keeps its "
                "own in parts.jsonl), or choose the strategy zero_shot."
            )
        self.config = config
        selection: type[Selection] = DEMONSTRATIONS.get(config.selection)
        self._selection = selection(rows, config.seed)
        self._room = _Room(config, known)
        self.identity = config.identity(*(text for row in rows for text in _texts(row)))

    def steps(self, example: Example) -> Generator[list[Request], list[Completion], Answer]:
        """Send the demonstrations and the question as one conversation."""
        shown = self.demonstrations(example)
        scores = {"demonstrations": float(len(shown))}
        return ask_once(example, self._conversation(example, shown), self.config.decoding, scores)

    def messages(self, example: Example) -> tuple[Message, ...]:
        """Return the conversation that is sent."""
        return self._conversation(example, self.demonstrations(example))

    def demonstrations(self, example: Example) -> list[Example]:
        """Return the rows that are shown before a question, in the order in which they are shown."""
        chosen = self._wanted(example)
        while chosen and not self._room.holds(self._conversation(example, self._in_order(chosen))):
            chosen.pop()
        return self._in_order(chosen)

    def _wanted(self, question: Example) -> list[Example]:
        """Return the rows to show if there is room for all of them, the most wanted first."""
        others = (row for row in self._selection.rank(question) if row.id != question.id)
        short: list[Example] = []
        long: list[Example] = []
        for row in others:
            tokens = self._room.tokens(row)
            if tokens is not None:  # else it cannot be written in this model's template
                (short if tokens <= self._room.share else long).append(row)
            if len(short) == self.config.examples:
                break
        return list(islice((*short, *long), self.config.examples))

    def _in_order(self, chosen: Sequence[Example]) -> list[Example]:
        return list(reversed(chosen) if self._selection.best_last else chosen)

    def _conversation(self, question: Example, shown: Sequence[Example]) -> tuple[Message, ...]:
        """Return the question's system turn, the demonstrations' other turns, and the question.

        A system turn of a demonstration is left out: a conversation has one, at its beginning.
        """
        system = [m for m in question.messages if m.role == "system"]
        *before, last = (m for m in question.messages if m.role != "system")
        turns = [*(turn for row in shown for turn in _turns(row)), *before, last]
        first = 0 if shown else -1
        turns[first] = instructed(turns[first], self.config.instruction)
        return (*system, *turns)


class _Room:
    """How many tokens a prompt may have. Without a tokenizer to count with, everything has room."""

    def __init__(self, config: FewShotConfig, known: Known) -> None:
        if config.prompt_tokens is not None and known.count_tokens is None:
            raise ConfigError(
                f"prompt_tokens is {config.prompt_tokens}, but there is no tokenizer to count with. Leave it out, or "
                "build the strategy with Known(count_tokens=...)."
            )
        limits = [config.prompt_tokens, known.context - config.max_tokens if known.context else None]
        self._limit = min((limit for limit in limits if limit is not None), default=None)
        self._count = known.count_tokens if self._limit is not None else None
        self._tokens: dict[str, int | None] = {}
        self.share = (self._limit or 0) // (config.examples + 1)

    def tokens(self, row: Example) -> int | None:
        """Return the length of a demonstration (0 where nothing is counted); None if it cannot be rendered."""
        if self._count is None:
            return 0
        if row.id not in self._tokens:
            try:
                self._tokens[row.id] = self._count(_turns(row))
            except DataError:
                self._tokens[row.id] = None
        return self._tokens[row.id]

    def holds(self, messages: Sequence[Message]) -> bool:
        """Say whether a prompt has room; one that cannot be rendered has: the model will say what is wrong with it."""
        if self._count is None or self._limit is None:
            return True
        try:
            return self._count(messages) <= self._limit
        except DataError:
            return True


def _turns(row: Example) -> list[Message]:
    """Return a row as turns of a conversation, its first right answer last."""
    return [*(m for m in row.messages if m.role != "system"), Message("assistant", row.reference)]


def _texts(row: Example) -> Iterator[str]:
    yield row.id
    for turn in _turns(row):
        yield from (turn.role, turn.content)
