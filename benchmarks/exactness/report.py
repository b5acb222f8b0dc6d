"""RESULTS.md of the exactness benchmark, written from its results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

TOLERANCES = {
    "separate": 1e-6,
    "trl": 1e-6,
    "transformers": 2e-5,
    "fp32": {"loss": 1e-6, "readouts": 1e-6, "gradient": 3e-6},
    "float64": {"loss": 1e-12, "readouts": 1e-12, "gradient": 1e-12},
    "parameters": 1e-5,
    "packed_logps": 1e-6,
    "near_tie": 1e-4,
}
"""What the figures are held to; a figure beyond its tolerance is marked in the tables."""


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def held(value: float, tolerance: float) -> str:
    return f"{value:.1e}" if abs(value) <= tolerance else f"**{value:.1e} (over {tolerance:g})**"


def _loss(found: Mapping[str, Any]) -> str:
    def apart(line: Mapping[str, float], name: str) -> float:
        return line["luthier"] / line[name] - 1

    rows = [
        [
            index + 1,
            f"{line['tokens']:,}",
            line["targets"],
            f"{line['luthier']:.7f}",
            held(apart(line, "separate"), TOLERANCES["separate"]),
            held(apart(line, "trl"), TOLERANCES["trl"]),
            held(apart(line, "transformers"), TOLERANCES["transformers"]),
            f"{apart(line, 'float64'):.1e}",
            f"{apart(line, 'separate_fp32_log_softmax'):.1e}",
        ]
        for index, line in enumerate(found["batches"])
    ]
    header = [
        "batch", "tokens", "targets", "Luthier", "separate sequences", "TRL", "transformers' own", "all float64",
        "fp32 log-softmax",
    ]  # fmt: skip
    return f"""## Loss of packed batches

{len(rows)} batches of {found["batches"][0]["rows"]} tickets, packed, no adapter, fp32: relative difference to

- **separate sequences** (tolerance {TOLERANCES["separate"]:g}): each row alone through the plain transformers model,
  then a plain log-softmax (in float64, of the fp32 logits),
- **TRL** (tolerance {TOLERANCES["trl"]:g}): `SFTTrainer.compute_loss` on the batch of its own data loader,
- **transformers' own** (tolerance {TOLERANCES["transformers"]:g}): the padded batch's `loss`,
- not held to a tolerance: the same with weights and arithmetic in float64, and with the log-softmax in fp32.

{table(header, rows)}
"""


def _layouts(found: Mapping[str, Any]) -> str:
    rows = [
        [
            line["case"],
            line["precision"],
            line["targets"],
            *(held(line[name], TOLERANCES[line["precision"]][name]) for name in ("loss", "readouts", "gradient")),
        ]
        for line in found["cases"]
    ]
    return f"""## Packed = rows

One packed row against one padded row a sequence; gradients of all weights. Tolerances: fp32 1e-6 (loss, readouts) and
3e-6 (gradient, its rounding), float64 1e-12.

{table(["batch", "precision", "targets", "loss", "readouts", "gradient"], rows)}
"""


def _accumulation(found: Mapping[str, Any]) -> str:
    rows = [
        [
            {"lora": "LoRA", "full": "all weights"}[line["method"]],
            line["precision"],
            *(held(line[name], TOLERANCES[line["precision"]][name]) for name in ("loss", "gradient")),
        ]
        for line in found["cases"]
    ]
    return f"""## 1 x 8 = 8 x 1

One step over 8 tickets of uneven length: one micro-batch of eight against eight of one. Tolerances as above.

{table(["trained", "precision", "loss", "gradient"], rows)}
"""


def _steps(found: Mapping[str, Any]) -> str:
    return f"""## Two steps of LoRA against plain PEFT

LoRA on all linear layers (rank 16), AdamW at 3e-4, clipping at 1, two batches of 8: packed in Luthier, padded in plain
PEFT and torch, from the same start. {found["tensors"]} tensors. Relative norm of the difference

- of the parameters: {held(found["parameters"], TOLERANCES["parameters"])} (tolerance {TOLERANCES["parameters"]:g}),
- of what the two steps changed in them: {found["updates"]:.1e} (the change is {found["update_over_parameters"]:.1e} of
  the parameters).

The plain log-softmax is computed in float64 of the fp32 logits. In fp32 it is the inexact side, and AdamW's first steps
enlarge that where a gradient is nearly zero: then the two plain runs differ from each other by
{found["plain_to_fp32_log_softmax"]:.1e}, Luthier from the fp32 one by {found["parameters_to_fp32_log_softmax"]:.1e}.
"""


def _saved(found: Mapping[str, Any], tuning: Mapping[str, Any]) -> str:
    return f"""## The saved adapter in a plain script

An adapter trained for {tuning["steps"]} steps (loss {tuning["first_loss"]:.3f} to {tuning["last_loss"]:.3f}), saved,
and loaded with `PeftModel.from_pretrained` by `plain_peft.py`, which does not import Luthier:

- {found["probes"]} tickets, {found["positions"]:,} positions, called alike: largest difference of a logit
  {found["largest_logit_difference"]:.1e} ({found["bit_equal"]} of {found["probes"]} tickets bit-equal), the same most
  probable token at {found["same_top_token"]:,} positions;
- log-probabilities of the same tokens read from one packed row: relative difference
  {held(found["packed_logps"], TOLERANCES["packed_logps"])} (tolerance {TOLERANCES["packed_logps"]:g}).
"""


def _greedy(found: Mapping[str, Any]) -> str:
    rows, diverging = [], []
    for name, label in (("adapter", "with the adapter"), ("base", "without")):
        line = found[name]
        rows.append(
            [
                label,
                line["prompts"],
                f"{line['shortest_prompt']}-{line['longest_prompt']}",
                f"{line['tokens']:,}",
                line["ended"],
                f"**{line['equal']}**",
                f"{line['smallest_gap']:.1e}",
            ]
        )
        for d in line["divergences"]:
            near = min(d["gap_luthier"], d["gap_transformers"]) < TOLERANCES["near_tie"]
            diverging.append(
                [
                    label,
                    d["example"],
                    d["at"],
                    repr(d["luthier"]),
                    repr(d["transformers"]),
                    f"{d['gap_luthier']:.1e}",
                    f"{d['gap_transformers']:.1e}",
                    "yes" if near else "**no**",
                ]
            )
    header = ["model", "prompts", "prompt tokens", "answer tokens", "ended", "equal answers", "smallest gap"]
    columns = [
        "model",
        "ticket",
        "at token",
        "Luthier",
        "transformers",
        "gap, Luthier",
        "gap, transformers",
        "near-tie",
    ]
    shown = table(columns, diverging) if diverging else "No answer differs."
    return f"""## Greedy answers

Batched in Luthier (no padding, sequences of all lengths together) against `generate` of plain transformers and PEFT,
one prompt at a time, at most 64 tokens. "Smallest gap" is the smallest distance between the two best logits met; below
{TOLERANCES["near_tie"]:g} a difference of rounding may choose the other token (a near-tie).

{table(header, rows)}

{shown}
"""


def render(results: Mapping[str, Any]) -> str:
    env = results.get("environment", {})
    versions = ", ".join(
        f"{name} {env[name]}" for name in ("python", "torch", "transformers", "peft", "trl") if name in env
    )
    sections = []
    for name, write in (("loss", _loss), ("layouts", _layouts), ("accumulation", _accumulation), ("steps", _steps)):
        if name in results:
            sections.append(write(results[name]))
    if "saved_adapter" in results:
        sections.append(_saved(results["saved_adapter"], results["tune"]))
    if "greedy" in results:
        sections.append(_greedy(results["greedy"]))
    body = "\n".join(sections)
    return f"""# Is the arithmetic right?

Written by `python benchmarks/exactness/run.py` from `results/exactness.json`; do not edit. The built-in
{env.get("model")} in fp32 on rows of `{env.get("rows")}`, one thread.
{versions}, {env.get("system")}.

A figure beyond its tolerance stands in bold with the tolerance.

{body}"""
