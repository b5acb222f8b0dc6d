"""Every saboteur without its guard: the fault passes, and the saboteur's test fails. So the test can fail."""

from __future__ import annotations

import math
import pickle
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
import test_faults_of_artefacts as artefacts
import test_faults_of_data as data
import test_faults_of_scores as scores
import test_faults_of_training as training
import torch
from command_line import Called
from controls import Control, fine, nothing, require_all_controlled, require_failure, went_on
from safetensors import SafetensorError

from luthier.adapters.lora import AttachedLora
from luthier.core.errors import GuardError
from luthier.core.run import RunDirectory
from luthier.core.stages import config_class
from luthier.data import template_sandbox
from luthier.data.render import Rendered, Renderer
from luthier.generation.engine import BatchEngine
from luthier.generation.merging import BUDGET
from luthier.training.engine.single import SingleDeviceEngine
from luthier.training.source import PackedSource

TRAINING = "luthier.stages.tune.shared_training.Training"
BEFORE_THE_START = {f"{TRAINING}.plan": went_on}
IN_TRAINING = {f"{TRAINING}._train": went_on}
BEFORE_SAVING = {f"{TRAINING}.save": went_on}
AFTER_SAVING = {"luthier.stages.tune.adapter_digest": went_on}

# ------------------------------------------------------------------------------------------------- rows and targets

checked = Renderer._checked


def masked_by_id(self: Renderer, sequence: Any, name: str, where: str) -> Rendered:
    """Mask padding by its id, as trainers do."""
    rendered = checked(self, sequence, name, where)
    rendered.weights[rendered.tokens == self.tokenizer.pad_token_id] = 0
    return rendered


def masked_by_search(self: Renderer, sequence: Any, name: str, where: str) -> Rendered:
    """Train what follows a marker's text."""
    rendered = checked(self, sequence, name, where)
    texts = [text for text, _ in self.pieces(rendered)]
    places = [i for i in range(len(texts)) if "".join(texts[i:]).startswith("assistant\n")]
    rendered.weights[:] = 0
    rendered.weights[places[0] + len("assistant\n") :] = 1
    return rendered


def cut(self: Renderer, sequence: Any, name: str, where: str) -> Rendered:
    """Truncate."""
    sequence.tokens, sequence.weights = sequence.tokens[: self.context], sequence.weights[: self.context]
    return checked(self, sequence, name, where)


def unlimited(source: str) -> Any:
    """A template in plain Jinja."""
    environment: Any = jinja2.Environment(loader=jinja2.FileSystemLoader("/"))
    environment.globals["raise_exception"] = nothing
    environment.capped = lambda text: text
    return environment, environment.from_string(source)


SMALL_HANG = "{% for i in range(500) %}{% for j in range(500) %}{% endfor %}{% endfor %}"
PLAIN_JINJA = {"luthier.data.template_sandbox._compiled": unlimited}
NO_TARGETS_CHECK = {"luthier.stages.guards.require_targets": nothing} | BEFORE_THE_START
NO_TOKENS_CHECK = {"luthier.stages.tune.require_known_tokens": nothing} | BEFORE_THE_START
NO_TEXT_CHECK = {"luthier.data.chat_template.ChatTemplate.check_text": nothing}

OF_DATA = [
    Control(
        data.test_01_the_end_of_turn_is_trained_though_it_is_the_padding_token,
        {"luthier.data.render.Renderer._checked": masked_by_id},
        says=r"0\.0\S* == 1\.0",
    ),
    Control(data.test_01_rows_that_do_not_train_their_end_stop_the_run, NO_TARGETS_CHECK),
    Control(
        data.test_01_after_training_the_model_stops,
        {},
        says="'length'",
        arguments={"taught": lambda request: request.getfixturevalue("tuned")},  # one that learned next to nothing
    ),
    Control(data.test_03_text_that_looks_like_a_template_changes_no_mask, NO_TEXT_CHECK),
    Control(
        data.test_03_text_that_looks_like_a_template_changes_no_mask,
        {"luthier.data.render.Renderer._checked": masked_by_search},
        says="billing",
    ),
    Control(data.test_03_rows_that_train_nothing_stop_the_run, NO_TARGETS_CHECK),
    Control(data.test_04_nothing_is_cut, {"luthier.data.render.Renderer._checked": cut}),
    Control(
        data.test_08_a_doubled_beginning_stops_the_run,
        {
            "luthier.data.render.Renderer._check_beginning": nothing,
            "test_faults_of_data.luthier": lambda *_: Called(0, "", ""),  # the run with one beginning is not at issue
        }
        | BEFORE_THE_START,
    ),
    Control(data.test_08_a_beginning_in_the_data_is_refused, NO_TEXT_CHECK | NO_TOKENS_CHECK),
    Control(
        data.test_38_files_of_another_dialect_are_named_and_bad_rows_listed,
        {"luthier.data.sources.stop_at_bad_rows": nothing} | BEFORE_THE_START,
    ),
    Control(data.test_21_a_token_that_was_added_and_never_trained_stops_the_run, NO_TOKENS_CHECK),
    Control(data.test_21_a_token_without_an_embedding_stops_the_run, NO_TOKENS_CHECK),
    Control(
        data.test_21_tokens_that_were_added_as_something_known_stop_the_run,
        NO_TOKENS_CHECK,
        arguments={"how": "the mean", "dtype": "float32"},
    ),
    Control(
        data.test_24_rows_that_repeat_each_other_stay_in_one_part,
        {"luthier.data.splits.groups": lambda rows: range(len(rows))},
        says=r"assert False|all\(",
    ),
    Control(
        data.test_49_a_template_that_leaves_the_sandbox_or_takes_all_is_stopped,
        PLAIN_JINJA,
        arguments={"planted": "{{ messages.__class__.__mro__ }}", "said": "unsafe"},
    ),
    Control(
        data.test_49_a_model_with_such_a_template_is_refused,
        PLAIN_JINJA | {"test_faults_of_data.HANG": "{% set ns = messages.__class__ %}"} | BEFORE_THE_START,
    ),
]

# ----------------------------------------------------------------------------------------------------------- scores

generate = BatchEngine.generate


def padded(self: BatchEngine, prompts: Any, *more: Any) -> Any:
    """Pad a batch's prompts on the right, and generate behind the padding."""
    longest = max(map(len, prompts))
    return generate(self, [prompt + [0] * (longest - len(prompt)) for prompt in prompts], *more)


def by_sign(interval: Any, p_value: float, higher_is_better: bool, *_: Any) -> str:
    """Call a difference a gain whatever chance would do."""
    return "better" if (interval.value >= 0) == higher_is_better else "worse"


OF_SCORES = [
    Control(
        scores.test_07_a_prompt_is_answered_alike_alone_and_in_any_batch,
        {"luthier.generation.engine.BatchEngine.generate": padded},
        says=r"assert \[",
    ),
    Control(
        scores.test_22_a_score_that_is_about_form_raises_an_alarm,
        {"luthier.stages.evaluate.read_again": nothing},
        says="another form than asked for",
    ),
    Control(
        scores.test_22_one_answer_for_all_rows_raises_an_alarm,
        {"luthier.evaluation.second_reading._most_frequent": lambda *_: (0.0, 0.0)},
        says=r"== True",
        arguments={"frequent": 20, "alarming": True},
    ),
    Control(
        scores.test_22_adapt_says_so_of_its_winner,
        {"luthier.stages.adapt.choosing.read_again": nothing},
        says="a patient reader would give",
    ),
    Control(
        scores.test_22_what_a_patient_reader_finds,
        {"luthier.evaluation.second_reading._readers": lambda *_: (str, str)},
        says=r"\(0\.0, 0\.0\)",
        arguments={"reference": "Paris", "text": "The answer is: **Paris**.", "strict": 0.0, "patient": 1.0},
    ),
    Control(
        scores.test_23_tuning_that_did_nothing_is_not_called_better,
        {"luthier.evaluation.comparison.judge": by_sign},
        says="'better' == 'not shown'",
    ),
    Control(
        scores.test_24_rows_that_were_learned_are_named_whatever_they_are_called,
        {"luthier.stages.evaluate.warn_of_learned_rows": nothing},
        says="were learned from or chosen on",
        arguments={"taught": lambda request: request.getfixturevalue("tuned")},
    ),
]

# --------------------------------------------------------------------------------------------------------- training

update = SingleDeviceEngine.update


def without_a_word(self: SingleDeviceEngine, clip: float | None) -> Any:
    """Take a missing gradient for one of zeros, as an optimizer does."""
    for parameter in self.trained.values():
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return update(self, clip)


def unknown_keys_dropped(values: Any, overrides: Any) -> dict[str, Any]:
    """Take no notice of what nobody knows."""
    return dict(values)


def unresolved(request: pytest.FixtureRequest) -> Path:
    """A run whose recipe is what the person wrote."""
    recipe = config_class("tune").parse({"data": {"path": "rows.csv"}})
    return RunDirectory.create(request.getfixturevalue("tmp_path") / "run", "tune", recipe).path


manifest = training.manifest
NO_WATCH = {"luthier.stages.guards.WeightWatch.check": nothing} | BEFORE_SAVING
NO_REHEARSAL = {"luthier.stages.tune.shared_training.rehearse": lambda *_: {}} | IN_TRAINING

OF_TRAINING = [
    Control(
        training.test_09_an_adapter_that_gets_no_gradient_stops_the_step,
        {"luthier.training.engine.single.SingleDeviceEngine.update": without_a_word},
    ),
    Control(
        training.test_09_training_that_changed_nothing_is_not_saved,
        # The best checkpoint would not be taken either: it lacks the moments that the optimizer never made.
        {"luthier.training.checkpoints.Checkpoints.restore_best": nothing} | NO_WATCH,
    ),
    Control(training.test_09_training_that_changed_the_base_is_not_saved, NO_WATCH),
    Control(
        training.test_13_a_leak_between_packed_sequences_is_found_at_load,
        {"luthier.models.load._check_packing": nothing},
        says="not True",
    ),
    Control(
        training.test_34_a_weight_that_is_no_number_stops_the_run,
        {"torch.isfinite": lambda tensor: torch.ones_like(tensor, dtype=torch.bool)}
        | {"luthier.training.step.isfinite": lambda value: True}
        | BEFORE_SAVING,
    ),
    Control(
        training.test_31_a_run_that_the_disk_cannot_hold_does_not_begin,
        {"luthier.stages.tune.shared_training.require_room": nothing, f"{TRAINING}.train": went_on},
    ),
    Control(training.test_32_memory_that_does_not_suffice_is_found_before_the_first_step, NO_REHEARSAL),
    Control(training.test_32_a_checkpoint_that_would_not_read_back_is_found_before_the_first_step, NO_REHEARSAL),
    Control(
        training.test_33_the_plan_comes_first_and_its_error_is_told,
        {"test_faults_of_training.manifest": lambda run: manifest(run) | {"measured": {"memory_bytes": 1}}},
        says=r"0\.00 times the plan",
    ),
    Control(
        training.test_34_the_rows_of_a_loss_that_is_no_number_are_named,
        {"luthier.stages.tune.shared_training.naming_rows": lambda *_: nullcontext()},
        says=r"not_finite\.json",
        fails=(FileNotFoundError,),
    ),
    Control(training.test_34_weights_that_are_no_numbers_are_not_saved, NO_WATCH),
    *(
        Control(
            training.test_37_a_setting_that_nobody_reads_stops_the_run,
            {"luthier.api.tuning.with_overrides": unknown_keys_dropped} | BEFORE_THE_START,
            arguments={"planted": planted, "said": "unknown key"},
        )
        for planted in ("training.learning_rte=1e-3", "learning_rate=1e-3", "adapter.beta=0.1")
    ),
    Control(
        training.test_37_what_was_resolved_is_saved, {}, says="learning_rate: 0.0003", arguments={"tuned": unresolved}
    ),
    Control(
        training.test_41_the_weights_that_are_saved_are_those_of_the_best_validation,
        {"luthier.training.checkpoints.Checkpoints.restore_best": nothing},
        says="None == ",
    ),
    Control(
        training.test_41_a_best_checkpoint_that_is_broken_is_not_replaced_by_the_last,
        {"luthier.training.checkpoints.verify": fine} | BEFORE_SAVING,
    ),
]

# -------------------------------------------------------------------------------------------------------- artefacts


def loosely(folder: Path, model: Any, name: str = "default") -> AttachedLora:
    """Open an adapter as PEFT does: what fits is loaded, the rest stays at its random start."""
    import peft

    return AttachedLora(model, peft.PeftModel.from_pretrained(model.module, folder, adapter_name=name), name)


def filled_in_place(final: Path) -> Any:
    """Write a checkpoint under its own name."""
    final.mkdir(parents=True, exist_ok=True)
    return nullcontext(final)


def pickled(request: pytest.FixtureRequest) -> Path:
    """A run with a pickle in disguise."""
    folder: Path = request.getfixturevalue("tmp_path")
    (folder / "values.json").write_bytes(pickle.dumps({"step": 3}))
    return folder


def only_a_cursor(self: PackedSource, state: Any) -> None:
    """Go on in whatever order of whatever rows."""
    self._step = int(state["step"])


PACKAGE = artefacts.PACKAGE
PICKLE_IMPORTED = SimpleNamespace(rglob=lambda names: [*PACKAGE.rglob(names), Path(__file__)])
UNCHECKED_RECIPE = {"luthier.core.record.RunFiles.read": lambda self, name: (self.folder / name).read_bytes()}
NO_BASE_CHECK = {"luthier.generation.local.check_adapter_base": nothing}

OF_ARTEFACTS = [
    Control(artefacts.test_02_another_chat_template_than_in_training_is_refused, NO_BASE_CHECK),
    Control(artefacts.test_02_another_tokenizer_than_in_training_is_refused, NO_BASE_CHECK),
    Control(
        artefacts.test_10_an_adapter_of_other_shapes_or_names_is_refused,
        {"luthier.models.source.require_sealed": nothing},
        says="does not fit",
    ),
    Control(
        artefacts.test_10_an_adapter_of_other_shapes_or_names_is_refused,
        {"luthier.adapters.lora.AttachedLora.open": staticmethod(loosely)},
    ),
    Control(
        artefacts.test_10_an_adapter_that_is_loaded_and_not_applied_is_refused,
        {"luthier.adapters.lora.require_same_answer": nothing},
        arguments={"planted": "off"},
    ),
    Control(
        artefacts.test_10_a_saved_adapter_that_differs_from_the_trained_one_is_not_called_saved,
        {"luthier.adapters.lora.AttachedLora._check_saved": nothing} | AFTER_SAVING,
    ),
    Control(
        artefacts.test_30_a_broken_checkpoint_is_skipped_and_said,
        {"luthier.training.checkpoints.verify": fine} | BEFORE_SAVING,
        arguments={"damage": "flipped"},
    ),
    Control(
        artefacts.test_30_a_kill_while_saving_leaves_no_checkpoint_that_looks_whole,
        {"luthier.training.checkpoints.staged_folder": filled_in_place},
        says=r"ep-00000004'\)\] == \[\]",
    ),
    Control(
        artefacts.test_12_a_checkpoint_of_other_data_or_another_adapter_is_refused,
        UNCHECKED_RECIPE,
        says="differ from those of the checkpoint",
    ),
    Control(
        artefacts.test_12_a_checkpoint_of_other_data_or_another_adapter_is_refused,
        {"luthier.training.source.PackedSource.load_state_dict": only_a_cursor} | BEFORE_SAVING,
    ),
    Control(
        artefacts.test_12_a_checkpoint_of_other_data_or_another_adapter_is_refused,
        {"luthier.training.engine.single.SingleDeviceEngine.load_state_dict": nothing} | NO_WATCH,
    ),
    Control(
        artefacts.test_47_nothing_that_luthier_writes_is_a_pickle,
        {},
        says=r"values\.json'\)\] == \[\]",
        arguments={"stopped": pickled},
    ),
    Control(
        artefacts.test_47_no_pickle_is_imported_in_the_package,
        {"test_faults_of_artefacts.PACKAGE": PICKLE_IMPORTED},
        says="test_without_guards",
    ),
    Control(
        artefacts.test_11_a_merge_that_changes_answers_writes_nothing,
        {"luthier.generation.merging.BUDGET": dict.fromkeys(BUDGET, math.inf)},
    ),
    Control(
        artefacts.test_45_a_broken_file_is_named_with_its_likely_cause,
        {"luthier.models.weights.require_whole": nothing},
        says="header",
        arguments={"content": b"<!DOCTYPE html><html>404</html>", "said": "is an HTML page"},
        fails=(SafetensorError,),
    ),
]

# ------------------------------------------------------------------------------------------------------------- tests

CONTROLS = [*OF_DATA, *OF_SCORES, *OF_TRAINING, *OF_ARTEFACTS]
OWN = {
    "test_05_means_of_means_would_be_another_training": "is the control of the test above it",
    "test_05_the_same_work_in_other_pieces_is_the_same_training": "its control stands below it",
    "test_06_answers_of_another_model_are_not_taken_for_this_ones": "ends in its control",
    "test_07_padding_at_the_wrong_side_is_another_answer": "is a control: the fault in plain transformers",
    "test_12_random_numbers_go_on_where_they_were": "holds its control: the run that is forgetful",
    "test_22_answers_in_the_form_asked_for_raise_none": "is a control: no false alarm",
    "test_31_a_disk_that_is_full_at_a_save_leaves_the_last_checkpoint": "tests/crash, every operation of a save",
    "test_48_code_that_comes_with_a_model_is_not_run": "below: with leave to run it, the code runs",
    "test_49_ordinary_templates_give_what_transformers_gives": "is a control: no false alarm",
}
"""Tests whose control does not stand in the table."""


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_without_its_guard_the_fault_passes(control: Control, request: pytest.FixtureRequest) -> None:
    require_failure(control, request)


def test_every_saboteur_has_a_control() -> None:
    assert require_all_controlled((artefacts, data, scores, training), CONTROLS, OWN) >= 50


def test_48_with_leave_to_run_it_a_models_code_runs(
    files: Path, copied: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of fault 48: what the flag keeps out is real."""
    import transformers
    from transformers import dynamic_module_utils

    read = transformers.AutoConfig.from_pretrained
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(place / "modules"))
    monkeypatch.setattr(
        transformers.AutoConfig, "from_pretrained", lambda folder, **o: read(folder, **o | {"trust_remote_code": True})
    )
    with pytest.raises(AssertionError):
        artefacts.test_48_code_that_comes_with_a_model_is_not_run(files, copied, place)
    assert (place / "trace").read_text() == "ran"


@pytest.mark.parametrize(
    "grows",
    [
        "{{ 'a' * 5000000 }}",
        "{{ 'a'.ljust(5000000) }}",
        "{{ '{:5000000}'.format(1) }}",
        "{{ '%5000000d' % 1 }}",
        "{{ 'a' | indent(5000000, true) }}",
        "{% set ns = namespace(x='a') %}{% for i in range(23) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    ],
)
def test_49_without_limits_a_template_grows(grows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of fault 49's limits: each way to grow is one."""
    with pytest.raises(GuardError):
        template_sandbox.render_template(grows, {})
    monkeypatch.setattr(template_sandbox, "_compiled", unlimited)
    assert len(template_sandbox.render_template(grows, {})) >= 5_000_000


@pytest.mark.parametrize(
    ("leaves", "found"),
    [
        ("{{ messages.append(1) }}{{ messages }}", "1]"),
        ("{% include '/etc/hostname' %}|", "|"),
        ("{{ {'a': 1} | xmlattr }}", 'a="1"'),
        (SMALL_HANG + "250,000 turns", "250,000 turns"),
    ],
)
def test_49_without_the_sandbox_a_template_leaves_it(leaves: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of fault 49's sandbox."""
    with pytest.raises(GuardError):
        template_sandbox.render_template(leaves, {"messages": []})
    monkeypatch.setattr(template_sandbox, "_compiled", unlimited)
    assert template_sandbox.render_template(leaves, {"messages": []}).endswith(found)
