"""A language model as judge: grades of single answers, verdicts on pairs, and how far both agree with people.

Papers: Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", arXiv:2306.05685, for pairs in both
orders; Liu et al. 2023, "G-Eval: NLG Evaluation using GPT-4 with Better Human Alignment", arXiv:2303.16634, for grades
weighted by the probabilities of their tokens; Dubois et al. 2024, "Length-Controlled AlpacaEval", arXiv:2404.04475, for
the win rate at equal length.

`rubric` says what is judged; `grading` and `pairwise` are the strategies that ask; `judge` opens a model and collects
its verdicts into a run; `win_rate` and `length_control` count what it said, `agreement` holds it against people's
labels, which `labelled` reads.

When to use it: answers are open, and no metric of words tells good from bad. When not: right answers are known (use a
metric), or nobody has labelled any pairs: a judge that was not measured proves nothing. Cost: one short reading of
question and answer a criterion; two of question and both answers a pair.
"""
