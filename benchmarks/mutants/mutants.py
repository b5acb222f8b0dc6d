"""The mutants: one-line faults, each of which some test of the default suite must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """One changed line.

    Attributes:
        name: Short name.
        harm: What would go wrong for a user, in a sentence.
        file: The file, from the root of the repository.
        old: Text within one line that the file holds exactly once.
        new: What stands there instead.
        tests: Tests that are likely to notice, quick ones; they are tried first.
    """

    name: str
    harm: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, root: Path) -> str:
        """Return the file's text with the change.

        Raises:
            ValueError: if the old text does not stand there exactly once.
        """
        text = (root / self.file).read_text(encoding="utf-8")
        if (found := text.count(self.old)) != 1:
            raise ValueError(
                f"Mutant {self.name}: {self.file} holds its old text {found} times, not once: {self.old!r}. The code "
                "has changed; correct the mutant in benchmarks/mutants/mutants.py."
            )
        return text.replace(self.old, self.new)


_UNIT = "tests/unit"
_SPLITS = f"{_UNIT}/data/test_three_parts.py"

MUTANTS = (
    Mutant(
        "label_shift",
        "Every target is read at its own position: the model learns to copy the token that it sees.",
        "src/luthier/segments/forest.py",
        "read_at=torch.from_numpy(at - 1),",
        "read_at=torch.from_numpy(at),",
        (f"{_UNIT}/segments/test_forests.py::test_one_sequence_is_read_before_its_targets",),
    ),
    Mutant(
        "loss_divided_twice",
        "The loss and the gradient are too small by the number of targets: long answers hardly count.",
        "src/luthier/training/step.py",
        "* total / units[_key(piece, name)] for",
        "* total / units[_key(piece, name)] ** 2 for",
        (f"{_UNIT}/training/test_single_device.py::test_a_steps_loss_by_hand",),
    ),
    Mutant(
        "lora_scale_without_alpha",
        "LoRA's update is added with factor 1, whatever alpha the recipe names.",
        "src/luthier/adapters/lora.py",
        "lora_alpha=config.alpha,",
        "lora_alpha=config.rank,",
        ("tests/parity/test_training_losses.py::test_two_steps_of_lora_are_those_of_plain_peft",),
    ),
    Mutant(
        "positions_not_reset",
        "Packed sequences go on counting positions where their neighbour ended.",
        "src/luthier/segments/layouts.py",
        "offsets = _offsets(batch)",
        "offsets = batch.starts()",
        (f"{_UNIT}/segments/test_forests.py::test_the_packed_row",),
    ),
    Mutant(
        "attention_leaks",
        "A packed sequence sees those before it in its row. The check at load turns packing off: slower, not wrong.",
        "src/luthier/segments/layouts.py",
        "Span(ranges[index], tuple(ranges[i] for i in batch.path(index)[:-1]))",
        "Span(ranges[index], tuple(ranges[i] for i in range(index)))",
        ("tests/invariant/test_packed_equals_rows.py::test_the_families_tested_are_all_that_pack",),
    ),
    Mutant(
        "rouge_recall_for_precision",
        "What is reported as ROUGE's precision is its recall: long answers look precise.",
        "src/luthier/evaluation/metrics/rouge.py",
        "return float(best.fmeasure), float(best.precision), float(best.recall)",
        "return float(best.fmeasure), float(best.recall), float(best.recall)",
        (f"{_UNIT}/evaluation/test_metrics_texts.py::test_rouge_of_a_known_pair",),
    ),
    Mutant(
        "unpaired_bootstrap",
        "The two answerers of a difference are resampled apart: intervals are far too wide.",
        "src/luthier/evaluation/statistics/resampling.py",
        "return lambda counts: second(counts) - first(counts)",
        "return lambda counts: second(counts) - first(counts[::-1])",
        (f"{_UNIT}/evaluation/test_intervals.py::test_pairs_are_resampled_together",),
    ),
    Mutant(
        "permutation_one_sided",
        "Only swaps in favour of the candidate count: p is half of what it should be.",
        "src/luthier/evaluation/statistics/significance.py",
        "sizes = np.abs(differences)",
        "sizes = differences",
        (f"{_UNIT}/evaluation/test_significance.py::test_continuous_scores_by_hand",),
    ),
    Mutant(
        "holm_without_running_maximum",
        "A claim is called shown although a stronger one is not.",
        "src/luthier/evaluation/statistics/significance.py",
        "largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))",
        "largest = min(1.0, (len(p_values) - rank) * p_values[index])",
        (f"{_UNIT}/evaluation/test_significance.py::test_holm_by_hand",),
    ),
    Mutant(
        "stop_at_padding",
        "Answers do not stop at the end of their turn: they run on until they are cut, or to a padding token.",
        "src/luthier/generation/writer.py",
        "Turns(stop_ids, self._text, Grammars(",
        "Turns(frozenset({renderer.tokenizer.pad_token_id}), self._text, Grammars(",
        (f"{_UNIT}/generation/test_local_completions.py::test_an_answer_ends_at_its_end_of_turn_and_not_at_padding",),
    ),
    Mutant(
        "end_of_turn_not_trained",
        "The tuned model never learns to stop.",
        "src/luthier/data/render.py",
        "[float(position >= skipped) for position in range(len(trained))]",
        "[float(skipped <= position < len(trained) - 1) for position in range(len(trained))]",
        (f"{_UNIT}/segments/test_rendered_targets.py::test_one_turn_token_by_token",),
    ),
    Mutant(
        "resume_without_random_state",
        "A resumed run draws other dropout masks: it is not the run that was begun.",
        "src/luthier/training/state.py",
        'torch.set_rng_state(tensors.pop("random/torch"))',
        'tensors.pop("random/torch")',
        ("tests/invariant/test_resume.py::test_resumed_equals_uninterrupted",),
    ),
    Mutant(
        "warm_up_off_by_one",
        "The first update has learning rate 0 and changes nothing, and the warm-up never reaches the full rate.",
        "src/luthier/training/optim.py",
        "return self.rate * (update + 1) / self.warmup",
        "return self.rate * update / self.warmup",
        (f"{_UNIT}/training/test_schedules.py::test_rates_by_hand",),
    ),
    Mutant(
        "norms_and_biases_decayed",
        "Weight decay pulls the factors of norms, and biases, to zero.",
        "src/luthier/training/optim.py",
        "return parameter.ndim >= 2 and",
        "return parameter.ndim >= 1 and",
        (f"{_UNIT}/training/test_schedules.py::test_only_matrices_that_are_no_lora_factor_decay",),
    ),
    Mutant(
        "demonstrations_leak",
        "A question may be shown itself with its right answer: few-shot scores on known rows are too good.",
        "src/luthier/prompting/strategies/few_shot.py",
        "self._selection.rank(question) if row.id != question.id)",
        "self._selection.rank(question))",
        (f"{_UNIT}/prompting/test_few_shot.py::test_a_question_is_never_its_own_demonstration",),
    ),
    Mutant(
        "near_duplicates_torn_apart",
        "Rows that are nearly the same stand in training and in confirmation: the claim is too good.",
        "src/luthier/data/overlap.py",
        "forest.join(rows[left][0], rows[right][0])",
        "forest.join(rows[left][0], rows[left][0])",
        (
            f"{_SPLITS}::test_near_duplicates_and_clusters_stay_together",
            f"{_UNIT}/data/test_overlapping_rows.py::test_near_duplicates_and_others",
        ),
    ),
    Mutant(
        "temperature_ignored",
        "Whatever temperature is asked for, sampling is that of temperature 1.",
        "src/luthier/generation/sampling.py",
        "logits = logits / decoding.temperature",
        "logits = logits / 1.0",
        (f"{_UNIT}/generation/test_next_tokens.py::test_what_is_drawn_from",),
    ),
    Mutant(
        "constraint_not_applied",
        "Constrained answers are chosen from all tokens: they fail at the first one that does not fit.",
        "src/luthier/generation/sequences.py",
        "logits = mask_rows([_allowed(job) for job in jobs], logits)",
        "logits = mask_rows([None for job in jobs], logits)",
        (f"{_UNIT}/generation/test_local_completions.py::test_a_constraint_holds_in_a_batch_beside_free_answers",),
    ),
)
