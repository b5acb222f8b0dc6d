"""A screen and a report as `luthier adapt` might make them; all figures are invented."""

import math
import random

from luthier.reporting.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Details,
    Heading,
    Histogram,
    Interval,
    IntervalPlot,
    KeyValues,
    LinePlot,
    Panel,
    Portion,
    Row,
    Series,
    SideBySide,
    StackedBars,
    Table,
    Text,
    Verdict,
)

GLOSSARY = {
    "LoRA": "Trains a small addition to the model's weights instead of the weights themselves.",
    "confirm": "Rows that nothing was chosen on. Only what is measured there is claimed.",
    "exact match": "The share of answers that equal the reference, after trimming spaces.",
    "valid": "The share of answers that can be read as the expected JSON.",
}
HOSTILE = "</style><script>alert('x')</script> \x1b[31mred\ud800 <img src=https://example.com/a.png onerror=alert(1)>"

CANDIDATES = [
    ("most frequent answer", Interval(0.0247, 0.0, 0.086), "100 %", "0 s", "0 s"),
    ("TF-IDF, one model a field", Interval(0.136, 0.07, 0.23), "100 %", "0 s", "1 s"),
    ("smollm2-135m  as it is", Interval(0.0, 0.0, 0.044), "3 %", "0.40 s", "0 s"),
    ("              told the schema", Interval(0.0864, 0.04, 0.17), "100 %", "0.50 s", "0 s"),
    ("              4 examples + schema", Interval(0.185, 0.115, 0.28), "100 %", "0.60 s", "0 s"),
    ("              LoRA r16, 2 epochs", Interval(0.802, 0.70, 0.875), "99 %", "0.40 s", "2 min 05 s"),
]


def candidates() -> Table:
    columns = [
        Column(),
        Column("exact match (81)", "right", help=GLOSSARY["exact match"]),
        *(Column(name, "right") for name in ("valid", "latency", "ready in")),
    ]
    rows = [[*row] for row in CANDIDATES]
    rows[-1][:2] = Cell(CANDIDATES[-1][0], emphasis=True, note="chosen"), Cell(CANDIDATES[-1][1], emphasis=True)
    return Table(columns, rows)


VERDICT = Verdict(
    "Tuning helped: on unseen rows the tuned model is right on 78 % instead of 18 %.",
    "good",
    [
        "LoRA minus 4 examples: **+60 points [47, 72]**, on 61 rows.",
        "It is about these two models, on rows like these.",
    ],
)
CONFIRM = KeyValues(
    [
        ("61 unseen rows", "LoRA 78 % [66, 87]     4 examples + schema 18 % [10, 29]"),
        ("LoRA - 4 examples", Cell(Interval(0.6, 0.47, 0.72, "points"), note="better", tone="good")),
        (
            "forgetting",
            Cell(Interval(-0.005, -0.03, 0.02, "points"), note="no worse than 5 points: shown", tone="good"),
        ),
        ("target 80 %", Cell("not shown (about 400 rows would decide)", tone="unknown")),
    ]
)


def sample_report() -> list[Block]:
    """Every block there is, with the invented figures of a run."""
    draws = random.Random(0)
    return [*_results(), *_answers(), *_training(draws), *_data(draws), *_environment()]


def _results() -> list[Block]:
    rows = [(name.replace("smollm2-135m", "").strip(), interval) for name, interval, *_ in CANDIDATES]
    plot: list[tuple[str, str | Interval | Cell]] = [*rows[:-1], (rows[-1][0], Cell(rows[-1][1], emphasis=True))]
    plot.append(("full tuning", "not run: over the budget"))
    return [
        VERDICT,
        Heading("What was tried"),
        Text(
            "Six ways to get the answers, cheapest first, were compared on **81 rows** that none was trained on. "
            "The best by exact match went on to the confirm rows.\n\n"
            "- The bar under a number is its 95 % interval: where the true value may well lie.\n"
            "- A model that only beats an uninformed prompt has shown nothing, so `4 examples + schema` is the rival."
        ),
        candidates(),
        IntervalPlot(plot, "Exact match of each candidate", "share of right answers", {"target": 0.8}),
        Heading("What it is worth"),
        CONFIRM,
        IntervalPlot(
            [
                ("LoRA - 4 examples + schema", Cell(Interval(0.6, 0.47, 0.72, "points"), emphasis=True)),
                ("LoRA - TF-IDF", Interval(0.63, 0.5, 0.75, "points")),
                ("forgetting: general questions", Interval(-0.005, -0.03, 0.02, "points")),
            ],
            "Differences on the confirm rows",
            "percentage points",
        ),
        StackedBars(
            [(Cell("LoRA r16, 2 epochs", emphasis=True), (48, 12, 1, 0)), ("told the schema", (5, 50, 6, 0))],
            [
                Portion("right", "green"),
                Portion("wrong value", "orange", "The right form with wrong content."),
                Portion("cut", "olive"),
                Portion("failed", "grey"),
            ],
            "Answers to the confirm rows",
            "answers",
        ),
    ]


def _answers() -> list[Block]:
    right = (
        '{"product": "desk lamp", "issue": "flickers", "urgency": "high", "order_id": "A-1042", "wants_refund": false}'
    )
    message = "hi, the desk lamp from order A-1042 flickers like mad and i have guests on friday. pls send a new one??"
    before = 'Sure! Here is the JSON: {"product": "lamp", "issue": "flickers", "urgency": "low"}'
    return [
        Heading("Before and after"),
        SideBySide(
            [Panel("Before", before, "wrong"), Panel("After", right, "right"), Panel("Reference", right)],
            "Row 112: most improved",
            message,
        ),
        SideBySide(
            [
                Panel("Before", "", "wrong"),
                Panel("After", right.replace("high", "low"), "wrong"),
                Panel("Reference", right),
            ],
            "Row 33: still wrong",
            HOSTILE,
        ),
        Details(
            "8 more answers", [SideBySide([Panel("After", HOSTILE, "wrong"), Panel("Reference", HOSTILE)], "Row 7")]
        ),
    ]


def _training(draws: random.Random) -> list[Block]:
    steps = list(range(1, 121))
    noisy = [0.35 + 2.1 * math.exp(-step / 25) + draws.gauss(0, 0.05) for step in steps]
    checks = list(range(0, 121, 20))
    return [
        Heading("Training"),
        LinePlot(
            [
                Series("training", steps, noisy),
                Series("validation", checks, [0.42 + 2.1 * math.exp(-step / 27) for step in checks]),
            ],
            "step",
            "loss (nats per token)",
            "Loss",
            marks={"kept": 100},
        ),
        LinePlot(
            [Series("", checks, [0.42, 0.71, 0.8, 0.86, 0.88, 0.89, 0.89])], "step", "right next tokens", "", "share"
        ),
    ]


def _data(draws: random.Random) -> list[Block]:
    def lengths(mean: float, spread: float) -> list[float]:
        return [max(4, round(draws.gauss(mean, spread))) for _ in range(158)]

    return [
        Heading("Data"),
        Row("rows", ["300 rows, CSV, 5 columns. 0 bad rows", "158 to tune | 81 to choose | 61 to confirm"]),
        Row("prompt", "column `message`"),
        Row("answer", "column `json` (JSON, 5 fields)"),
        Histogram({"prompts": lengths(61, 14), "answers": lengths(38, 3)}, "tokens", "Lengths of the training rows"),
        Histogram({"right fields": [draws.choice([2, 3, 4, 5, 5, 5]) for _ in range(61)]}, "right fields of 5"),
        Heading("What was not tried", 3),
        Text("Full tuning: over the budget of 10 minutes. Retrieval: there are no documents."),
    ]


def _environment() -> list[Block]:
    recipe = "method: lora\nrank: 16\ntraining:\n  learning_rate: 0.0002\n  epochs: 2"
    return [
        Heading("Recipe and environment"),
        Details("Recipe", [Code(recipe, "yaml")]),
        Details(
            "Environment",
            [KeyValues([("python", "3.11.7"), ("torch", "2.13.0"), ("cores", "2")], {"cores": "CPU cores"})],
        ),
        Heading("Use it"),
        Code("luthier chat runs/1\nluthier answer runs/1 new.csv"),
    ]


def sample_screen() -> list[Block]:
    return [
        Row("data", ["300 rows, CSV. 0 bad rows", "158 to tune | 81 to choose | 61 to confirm, unseen until the end"]),
        Row("machine", "2 cores, no GPU, bf16 yes. 8 candidates, about **4 min 30 s**, 1.9 GB"),
        candidates(),
        Row("confirm", [CONFIRM]),
        VERDICT,
        Row("next", "`luthier chat runs/1`   `luthier answer runs/1 new.csv`"),
    ]
