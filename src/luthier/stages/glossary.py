"""Words of reports and screens, explained for people who have never tuned a model."""

from __future__ import annotations

GLOSSARY = {
    # scores
    "exact match": "Share of rows whose answer equals the reference; JSON answers are compared as values.",
    "accuracy": "Share of rows with the right label.",
    "judge's grade": "How good a model that judges finds the answers by its rubric, from 0 to 1.",
    "win rate": "Share of pairs in which the judge prefers this side's answer; ties count half.",
    "at equal length": "The win rate that would be left if both answers of each pair were equally long.",
    "macro-F1": "F1 of each label, averaged over labels, so that rare labels count as much as frequent ones.",
    "ROUGE-L F": "Overlap of the longest common word sequence of answer and reference, from 0 to 100 %.",
    "ROUGE-1 F": "Overlap of single words of answer and reference, from 0 to 100 %.",
    "ROUGE-2 F": "Overlap of pairs of neighbouring words of answer and reference, from 0 to 100 %.",
    "BLEU": "Overlap of word sequences of up to four words, over all rows together, less where answers are too short.",
    "chrF": "Overlap of character sequences of up to six characters, over all rows together; fits every language.",
    "MCC": "Matthews correlation of right and given labels: 1 is all right, 0 no better than chance.",
    "ECE": "Expected calibration error: how far confidence and share of right answers part, on average; 0 is best.",
    "Brier score": "Mean squared distance of confidence from 1 for right and 0 for wrong answers; 0 is best.",
    "token F1": "Overlap of the words of answer and reference, without articles and punctuation.",
    "field F1": "Share of the JSON fields that are right, counting missing and surplus ones as wrong.",
    "valid JSON": "Share of answers that are JSON with all the expected fields, right or wrong.",
    "bits per byte": "How many bits a byte of text takes if the model packs it; lower is better. It can be compared "
    "between all models.",
    "perplexity per token": "Among how many equally likely tokens the model is unsure, on average; lower is better.",
    "perplexity per word": "The same a word; can be compared between all models.",
    "perplexity per byte": "The same a byte; can be compared between all models.",
    "next-token accuracy": "Share of tokens that the model held for the most probable ones.",
    "perplexity": "How surprised a model is by a text, a token: 1 is no surprise at all, lower is better.",
    # proof
    "interval": "If the same were done on new rows of the same kind again and again, 95 % of such intervals would "
    "hold the true score.",
    "p-value": "How often a difference at least as large would appear if it did not matter who answered.",
    "paired test": "A test that looks at the same rows answered by both, and at those on which they differ.",
    "Holm's method": "Raises p-values of claims made together, so that the chance of any false one stays at 5 %.",
    "discordance": "Share of rows on which one of two answerers is right and the other wrong.",
    "points": "Percentage points: from 20 % to 30 % are 10 points.",
    "reference": "The right answer that stands in your file.",
    "rival": "What the winner is held against: the best candidate of each other kind.",
    # parts of the rows
    "tune": "Rows that were learned from.",
    "choose": "Rows on which the candidates were compared and the winner chosen.",
    "confirm": "Rows that nothing was learned from or chosen on; the claim rests on them alone.",
    # ways to answer
    "candidate": "One way to get the answers: a prompt, a tuned model, or a method without a language model.",
    "LoRA": "Low-rank adaptation: the model stays as it is, small additions to its layers are trained.",
    "epoch": "One pass over the rows to learn from.",
    "epochs": "Passes over the rows to learn from.",
    "TF-IDF": "A classical method without a language model: word counts and a linear model.",
    "most frequent answer": "Gives every row the answer that is most frequent among the rows to learn from.",
    "schema": "Which fields a JSON answer has, and what may stand in them, as the rows to learn from show.",
    # columns
    "valid": "Share of answers that have the right form, such as JSON with all its fields or one of the labels, and "
    "that come to their end. A valid answer can still be wrong.",
    "latency": "Time until a single request, sent alone, is answered: the median of three.",
    "memory": "Highest memory of the process while the candidate was prepared and answered.",
    "ready in": "Time to prepare the candidate: what it takes to learn. A prompt needs nothing.",
    "token": "A piece of text as the model sees it: a short word, or a part of a longer one.",
    "tokens": "Pieces of text as the model sees them: short words, or parts of longer ones.",
    "loss": "How surprised the model is by the right answers, in nats a token; lower is better.",
    "output limit": "The most tokens an answer may have.",
    "seed": "The number that chance hangs on: division of the rows, initialisation, order.",
}
