"""Causal language modelling: the negative log-likelihood of every token of a document, raw text without a template.

Equation: that of supervised fine-tuning, `-sum_p w_p log p(token_p | before) / sum_p w_p`; here every token of a
document is a target of weight 1, the token that ends the document too. There is no prompt.

Source: Gururangan et al. 2020, "Don't Stop Pretraining: Adapt Language Models to Domains and Tasks" (arXiv:2004.10964),
for going on with pre-training on text of a domain. Difference: documents are packed beside each other without seeing
each other, where pre-training often lets a window run over their borders.

When to use it: there is text of a domain, style or language, and no questions with answers. When not: to teach a task
or facts that are asked for; a chat model may forget how to chat.
Cost: every token is a target, so the output layer is read everywhere: 28 of the 135 million weights of the built-in
model are in it.
"""

from __future__ import annotations

from luthier.objectives.likelihood import NegativeLogLikelihood


class CausalLanguageModelling(NegativeLogLikelihood):
    """Negative log-likelihood of all tokens of plain text, document by document."""

    name = "causal_lm"
    material = "corpus"
