"""What the contestants work on: made from a seed, tokenised once, and handed to all of them as ids.

The sentences are put together from lists. What they say does not matter here; their lengths do: prompts of 57 to 249
tokens, answers of 15 to 81, as ragged as people's data are.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WHO = (
    "the manager", "my neighbour", "a young engineer", "the old sailor", "our teacher", "the committee",
    "a tired nurse", "the bus driver", "her cousin", "the new intern", "the city council", "a local farmer",
)  # fmt: skip
DID = (
    "explained", "forgot", "promised", "decided", "refused", "hoped", "wanted", "asked", "suggested", "pretended",
    "agreed", "started",
)  # fmt: skip
WHAT = (
    "to fix the broken window before the storm",
    "to call the insurance company about the claim",
    "to bring three bags of apples to the market",
    "to move the meeting to Thursday afternoon",
    "to write a short report on the river levels",
    "to buy a second-hand bicycle for the trip",
    "to paint the fence in a darker shade of green",
    "to cancel the order because the price had doubled",
    "to visit the museum with the children on Sunday",
    "to learn enough Spanish to order dinner",
    "to rewrite the schedule after the train was delayed",
    "to borrow a ladder from the people across the street",
)
WHY = (
    "because nobody else had time", "although it was already late", "while the rain kept falling",
    "so that everyone could relax", "after a long phone call", "even though the budget was small",
    "before the guests arrived", "when the lights went out", "",
)  # fmt: skip
TASKS = (
    "Summarize the following text in one or two sentences.",
    "What happened in this story? Answer briefly.",
    "Write a short reply to this message.",
    "List the most important facts from the text below.",
)
EXAMPLES = 256
OPTION_PROMPTS, OPTIONS = 12, 5
LENGTHS = (128, 512, 2048, 8192)
TOKENS_A_TURN = 4096
_ORDINARY = (1000, 30000)
"""Ids that are words in the vocabularies of all built-in models."""

Ids = list[int]


def sentence(draw: random.Random) -> str:
    """Put a sentence together."""
    text = f"{draw.choice(WHO)} {draw.choice(DID)} {draw.choice(WHAT)} {draw.choice(WHY)}".strip()
    return text[0].upper() + text[1:] + "."


def conversations(count: int = EXAMPLES, seed: int = 0) -> list[tuple[str, str]]:
    """Return questions with answers."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        sentences = min(11, max(1, int(draw.lognormvariate(1.45, 0.55))))
        answers = draw.choice([1, 1, 2, 2, 3, 4])
        question = draw.choice(TASKS) + "\n\n" + " ".join(sentence(draw) for _ in range(sentences))
        found.append((question, " ".join(sentence(draw) for _ in range(answers))))
    return found


def write(model: Path, folder: Path) -> None:
    """Tokenise everything with the model's own tokenizer and template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)

    def prompt(question: str) -> Ids:
        asked = [{"role": "user", "content": question}]
        ids: Ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
        return ids

    def answer(text: str) -> Ids:
        ids: Ids = tokenizer(text + "<|im_end|>", add_special_tokens=False)["input_ids"]
        return ids

    rows = [{"prompt": prompt(q), "answer": answer(a)} for q, a in conversations()]
    draw = random.Random(1)
    pairs = [
        {**row, "rejected": answer(" ".join(sentence(draw) for _ in range(draw.choice([1, 1, 2, 2, 3, 4]))))}
        for row in rows
    ]
    draw = random.Random(3)
    options = [
        {
            "prompt": row["prompt"],
            "options": [
                tokenizer(sentence(draw), add_special_tokens=False)["input_ids"][: draw.randint(1, 16)]
                for _ in range(OPTIONS)
            ],
        }
        for row in rows[-OPTION_PROMPTS:]
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in {"rows": rows, "pairs": pairs, "options": options, **of_lengths()}.items():
        (folder / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")


def of_lengths() -> dict[str, list[dict[str, Ids]]]:
    """Return rows of equal lengths, drawn from ordinary ids; a quarter of each is the answer."""
    draw = random.Random(5)
    return {
        f"length-{length}": [
            {
                "prompt": [draw.randint(*_ORDINARY) for _ in range(length * 3 // 4)],
                "answer": [draw.randint(*_ORDINARY) for _ in range(length // 4)],
            }
            for _ in range(max(4, 3 * TOKENS_A_TURN // length))
        ]
        for length in LENGTHS
    }


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """Read what `write` has written."""
    found: list[dict[str, Any]] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found


def tokens_of(rows: Sequence[dict[str, Any]]) -> int:
    """Count the tokens of rows, none of them padding."""
    return sum(len(row["prompt"]) + len(row["answer"]) for row in rows)
