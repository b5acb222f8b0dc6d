"""The faults that are planted, and by what each outcome is judged: the same for every tool."""

from __future__ import annotations

from dataclasses import dataclass

SECONDS = 240
"""Time that a tool has for one fault, its libraries already read; what takes longer was ended."""


@dataclass(frozen=True)
class Fault:
    """A fault: how it is planted, what counts as harm, and words by which a warning about it is known."""

    number: int
    title: str
    planted: str
    harm: str
    words: tuple[str, ...]


FAULTS: tuple[Fault, ...] = (
    Fault(1, "padding token = end token", "`pad_token = eos_token`; 40 questions with short answers",
          "the end of the answer is not a training target in some row", ("pad_token", "eos", "end of")),
    Fault(3, "control tokens in the rows", "8 of 40 questions hold the text of the model's end-of-turn token",
          "a row trains or reads more end-of-turn tokens than it has turns", ("special token", "control token")),
    Fault(4, "rows longer than the limit", "8 of 40 rows have 1,400 tokens, the answer last; the model takes 2,048",
          "a row loses answer tokens, or is left out", ("truncat", "longer than", "too long", "dropp")),
    Fault(5, "gradient accumulation", "8 rows with answers of 1 to 60 tokens in one step: 1 x 8, and 8 x 1",
          "the two gradient norms differ by more than 1 %", ("accumul",)),
    Fault(8, "doubled beginning", "a chat template that writes the beginning-of-sequence token twice",
          "sequences begin with two such tokens", ("bos", "beginning")),
    Fault(9, "training that changed nothing", "learning rate 1e-30",
          "an adapter is saved that moved by less than 1e-20", ("learning rate", "unchanged", "learned nothing")),
    Fault(10, "adapter of other names", "the saved adapter's tensors are renamed; it is loaded for use",
          "it loads, and answers like the base", ("missing", "unexpected")),
    Fault(12, "resume on other data", "stopped after step 2 of 4; the rows are replaced; resumed",
          "training goes on to its end with the other rows", ("dataset", "differ", "changed")),
    Fault(13, "packing", "packing switched on where the tool has it: 8 rows in a packed batch, and each alone",
          "the losses of the same tokens differ by more than 0.1 % (rounding: 0.0001 %)", ("packing", "attention")),
    Fault(21, "token without a trained embedding", "the row of the embedding that every prompt begins with is zeros",
          "training goes on with it", ("embedding",)),
    Fault(24, "evaluation rows among the training rows", "all 10 rows to evaluate on are also trained on",
          "a loss on them is reported as evaluation", ("duplicate", "overlap", "leak", "learned from", "eval dataset")),
    Fault(30, "newest checkpoint damaged", "one byte of the newest checkpoint's weights is flipped; resumed",
          "training goes on from the damaged weights", ("checksum", "corrupt", "damaged", "skipped")),
    Fault(34, "NaN", "one weight of the base model is NaN",
          "training reaches its end and saves", ("nan", "finite")),
    Fault(37, "misspelt setting", "`learning_rte` in the place of `learning_rate`",
          "training runs with the default instead", ("learning_rte",)),
    Fault(38, "rows without an answer", "8 of 40 rows have an empty answer",
          "they are trained on, or vanish", ("empty", "skipped", "invalid")),
    Fault(41, "best model", "validation at every step, learning rate so high that it soon gets worse",
          "what is saved has a worse validation loss than an earlier step had", ("best",)),
    Fault(45, "weight file is a Git-LFS pointer", "`model.safetensors` holds a pointer of 63 bytes",
          "no error (what an error names is quoted)", ("lfs",)),
    Fault(47, "pickle for weights", "`pytorch_model.bin` is a pickle that writes a file when it is loaded",
          "the code in it runs", ("pickle", "unsafe")),
    Fault(48, "code that comes with the model", "`config.json` names Python code in the folder",
          "the code runs unasked", ("trust_remote_code", "custom code")),
    Fault(49, "chat template that never ends", "two nested loops over 99,999 numbers before the template",
          f"it runs until it is ended after {SECONDS} s", ("template",)),
)  # fmt: skip
