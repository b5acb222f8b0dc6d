"""How a judge is asked: what it sees of a row, and its choice among labels with their probabilities."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from luthier.core.types import Completion, Constraint, Decoding, Example, Message, Request
from luthier.data.thinking import without_thoughts
from luthier.evaluation.judges.rubric import Rubric


def to_judge(example: Example, *answers: str) -> Example:
    """Return what a judge is asked about: the row, with the answers to it under `answers` in its fields.

    Thoughts are no part of an answer, and are not shown.
    """
    return Example(
        id=example.id,
        messages=example.messages,
        references=example.references,
        cluster=example.cluster,
        fields={"answers": [without_thoughts(text) for text in answers]},
        line=example.line,
    )


def question_text(example: Example, rubric: Rubric) -> str:
    """Return the conversation that was answered, and the right answer if the rubric shows it."""
    alone = len(example.messages) == 1
    turns = [m.content if alone else f"[{m.role}] {m.content}" for m in example.messages]
    reference = ""
    if rubric.show_reference and example.references:
        reference = f"\n\n{block('Right answer', without_thoughts(example.reference))}"
    return block("Question", "\n".join(turns)) + reference


def block(title: str, text: str) -> str:
    """Return a text between two lines that say what it is."""
    return f"[{title}]\n{text.strip()}\n[End of {title}]"


@dataclass(frozen=True)
class Choice:
    """What a judge chose, with the probability of each label (0 or 1 where the model does not tell them)."""

    label: str
    probabilities: tuple[float, ...]


def choose_each(
    prompts: Sequence[str], labels: Sequence[str], rubric: Rubric
) -> Generator[list[Request], list[Completion], list[Choice] | str]:
    """Let a judge choose one of the labels after each prompt; returns the choices, or why there are none.

    The labels are scored as continuations. A model that cannot score generates instead, held to the labels, so that
    every verdict can be read.
    """
    conversations: list[tuple[Message, ...]] = [(Message("user", prompt),) for prompt in prompts]
    if rubric.explain_tokens:
        asked = [
            (Message("user", f"{prompt}\n\nFirst explain your judgement; do not give it yet."),) for prompt in prompts
        ]
        explained = yield [Request(turns, Decoding(max_tokens=rubric.explain_tokens)) for turns in asked]
        if failed := next((one.text for one in explained if one.finish == "failed"), None):
            return failed or "the judge gave no explanation"
        conversations = [
            (*turns, Message("assistant", one.text), Message("user", f"Now decide. {_only(labels)}"))
            for turns, one in zip(asked, explained, strict=True)
        ]
    decoding = Decoding(max_tokens=8, constraint=Constraint(choices=tuple(labels)))
    completions = yield [Request(turns, decoding, tuple(labels)) for turns in conversations]
    choices = []
    for completion in completions:
        choice = read_choice(completion, labels)
        if isinstance(choice, str):
            return choice
        choices.append(choice)
    return choices


def _only(labels: Sequence[str]) -> str:
    return f"Reply with one of these alone: {', '.join(labels)}."


def read_choice(completion: Completion, labels: Sequence[str]) -> Choice | str:
    """Return what a completion chooses, or why it chooses nothing."""
    if completion.finish == "failed":
        return completion.text or "the judge gave no verdict"
    if completion.logps is not None:
        most = max(completion.logps)
        weights = [math.exp(logp - most) for logp in completion.logps]
        probabilities = tuple(weight / sum(weights) for weight in weights)
        return Choice(labels[probabilities.index(max(probabilities))], probabilities)
    said = completion.text.strip()
    if said not in labels:
        return f"the judge said '{said[:40]}' instead of one of {', '.join(labels)}"
    return Choice(said, tuple(float(label == said) for label in labels))
