"""What is measured: workloads, who takes part, with which settings, and what must agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BATCH = 8
RANK = 8


@dataclass(frozen=True)
class Peer:
    """A contestant besides Luthier: a program, which of its works, and its settings."""

    title: str
    program: str
    work: str
    best: bool
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """One comparison.

    Attributes:
        title: As the report names it.
        work: Which of `ours.py`'s works.
        rows: Which material.
        settings: For all who take part.
        peers: By name; the first is the one that the aim is stated against.
        turns: How many turns each gets.
        of_turn: Rows of a turn; 0 for all at once.
        agree: What must be equal: "loss", "tokens", "scores" or nothing.
        least: Ratio that must be reached, by the peer's name and the precision, such as "trl.fp32".
    """

    title: str
    work: str
    rows: str
    settings: Mapping[str, Any]
    peers: Mapping[str, Peer]
    turns: int
    of_turn: int = BATCH
    agree: str = ""
    least: Mapping[str, float] = field(default_factory=dict)

    def turn_rows(self, count: int, turns: int | None = None) -> Sequence[Sequence[int]]:
        """Return the rows of each turn, from so many there are."""
        turns = turns or self.turns
        if not self.of_turn:
            return [list(range(count))] * turns
        return [[(turn * self.of_turn + i) % count for i in range(self.of_turn)] for turn in range(turns)]


def _trainers(trl: str, *, also: Mapping[str, Peer] | None = None) -> dict[str, Peer]:
    return {
        "trl": Peer("TRL, no gradient checkpointing", "peer_trainers.py", trl, best=True),
        **(also or {}),
        **_trl_default(trl),
    }


def _trl_default(trl: str) -> dict[str, Peer]:
    """TRL's defaults recompute activations: gradient checkpointing."""
    return {"trl-default": Peer("TRL, its defaults in this precision", "peer_trainers.py", trl, best=False)}


_HF = {"trainer": Peer("transformers' Trainer with PEFT", "peer_trainers.py", "hf_sft", best=True)}
_GENERATION = {"generate.fp32": 3.0, "generate-default.fp32": 3.0, "generate.bf16": 2.0}
_TRAINING = {"rate": 3e-4, "rank": RANK, "batch": BATCH}

WORKLOADS: dict[str, Workload] = {
    "sft-lora": Workload(
        "supervised, LoRA on all linear layers", "supervised", "rows", {"method": "all", **_TRAINING},
        _trainers("trl_sft", also=_HF), turns=8, agree="loss",
        least={"trl.fp32": 2.5, "trainer.fp32": 1.8, "trl-default.bf16": 3.7},
    ),
    "sft-lora-qv": Workload(
        "supervised, LoRA on q and v", "supervised", "rows", {"method": "qv", **_TRAINING},
        _trainers("trl_sft", also=_HF), turns=6, agree="loss",
        least={"trl.fp32": 2.5, "trainer.fp32": 1.8, "trl-default.bf16": 3.7},
    ),
    "sft-full": Workload(
        "supervised, all weights", "supervised", "rows", {"method": "full", **_TRAINING, "rate": 5e-5},
        _trainers("trl_sft", also=_HF), turns=6, agree="loss", least={"trl.fp32": 2.2, "trl.bf16": 3.3},
    ),
    "sft-lora-recompute": Workload(
        "supervised, LoRA on all linear layers, both with gradient checkpointing", "supervised", "rows",
        {"method": "all", **_TRAINING, "recompute": True}, _trl_default("trl_sft"), turns=5, agree="loss",
    ),
    "sft-full-recompute": Workload(
        "supervised, all weights, both with gradient checkpointing", "supervised", "rows",
        {"method": "full", **_TRAINING, "rate": 5e-5, "recompute": True}, _trl_default("trl_sft"), turns=5,
        agree="loss",
    ),
    "pairs": Workload(
        "preference pairs, LoRA on all linear layers", "preference", "pairs", {"method": "all", **_TRAINING},
        _trainers("trl_dpo"), turns=5, agree="loss", least={"trl.fp32": 3.5},
    ),
    "options": Workload(
        "log-probabilities of 5 options after each of 12 prompts", "scoring", "options", {"batch": 16},
        {"lm-eval": Peer("lm-evaluation-harness, batches of 16", "peer_answers.py", "lm_eval", best=True)},
        turns=5, of_turn=0, agree="scores", least={"lm-eval.fp32": 5.0},
    ),
    "answers-short": Workload(
        "64 prompts, at most 48 new tokens each", "generation", "rows", {"batch": 16, "new": 48},
        {
            "generate": Peer("generate, batches of 16 of like length", "peer_answers.py", "generate", best=True),
            "generate-default": Peer("generate, batches of 16 as they come", "peer_answers.py", "generate", best=False),
        },
        turns=3, of_turn=64, agree="tokens", least=_GENERATION,
    ),
    "answers-long": Workload(
        "64 prompts, at most 256 new tokens each", "generation", "rows", {"batch": 16, "new": 256},
        {"generate": Peer("generate, batches of 16 of like length", "peer_answers.py", "generate", best=True)},
        turns=2, of_turn=64, agree="tokens", least=_GENERATION,
    ),
    "policy": Workload(
        "16 sampled completions of 2 prompts, and an update on them", "policy_update", "rows",
        {"method": "all", **_TRAINING, "batch": 2, "completions": 16, "new": 64},
        _trainers("trl_grpo"), turns=3, of_turn=2, least={"trl.fp32": 5.0},
    ),
}  # fmt: skip
