"""Supervised fine-tuning: the negative log-likelihood of the target tokens.

Equation: `-sum_p w_p log p(token_p | before) / sum_p w_p`, with the sums over the whole optimizer step (all
micro-batches, all ranks), not per micro-batch. Weights come from the renderer: 1 for the tokens of the answer and its
end of turn, 0 for the prompt.

When to use it: there are answers to imitate. When not: there are only preferences, or only a checker.
Cost: one forward and backward; the output layer is read at the targets only.
"""

from __future__ import annotations

from luthier.objectives.likelihood import NegativeLogLikelihood


class SupervisedFineTuning(NegativeLogLikelihood):
    """Negative log-likelihood of the answers' tokens, given the prompts."""

    name = "sft"
    material = "examples"
