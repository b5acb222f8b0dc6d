"""Every test of crashes and of damage without what it sees at work: it fails, so it can fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import test_corruption as corruption
import test_every_operation as every
import test_full_disk as disk
import test_power_cut as power
from controls import Control, fine, nothing, require_all_controlled, require_failure
from scenarios import OF_FILES, save

from luthier.core import files
from luthier.core.errors import RunError
from luthier.core.files import read_json

# --------------------------------------------------------------------------------------------- interrupted savings

IN_PLACE = {"luthier.core.files.write_atomically": every.written_in_place}
RECORDED_IN_PLACE = {"luthier.core.record.write_atomically": every.written_in_place}
UNVERIFIED = {
    "luthier.training.checkpoints.staged_folder": every.filled_in_place,
    "luthier.training.checkpoints.problem_of": fine,
}
UNSEALED = {
    "luthier.stages.tune.shared_training.staged_folder": every.filled_in_place,
    "luthier.stages.tune.shared_training.problem_of": fine,
}
OF_SCENARIO: dict[str, dict[str, Any]] = {
    "first checkpoint": UNVERIFIED,
    "later checkpoint, the oldest goes": UNVERIFIED,
    "best checkpoint, the old best goes": IN_PLACE,
    "run made": RECORDED_IN_PLACE,
    "step stored": RECORDED_IN_PLACE,
    "wave of answers stored": {"luthier.core.record.RunFiles._entries": nothing},
    "logs cut back": RECORDED_IN_PLACE,
    "run finished": RECORDED_IN_PLACE,
}
INTERRUPTED = [
    *(
        Control(
            every.test_every_point_leaves_the_old_or_the_new,
            OF_SCENARIO[scenario.name],
            says=rf"^{scenario.name}: \w+ at \d+ of",
            arguments={"scenario": scenario},
        )
        for scenario in OF_FILES
    ),
    *(
        Control(
            every.test_every_point_of_saving_weights,
            UNSEALED,
            says=rf"^{name} saved: \w+ at \d+ of",
            arguments={"name": name},
        )
        for name in ("adapter", "model")
    ),
]

# ------------------------------------------------------------------------------------------------------- power cuts


def unsynced(path: Path, pieces: Any) -> None:
    """Write, and do not wait for the disk."""
    with open(path, "wb") as file:
        file.writelines(pieces)


def appended(path: Path, values: Any) -> None:
    """Append, and do not wait for the disk."""
    with getattr(files, "open", open)(path, "ab") as file:
        file.writelines(files.json_line(value).encode() for value in values)


@contextmanager
def renamed_at_once(final: Path) -> Iterator[Path]:
    """Fill a folder and give it its name, and do not wait for the disk."""
    staged = final.with_name(f".{final.name}.part")
    staged.mkdir()
    yield staged
    os.replace(staged, final)


UNSYNCED = {
    "luthier.training.checkpoints.staged_folder": renamed_at_once,
    "luthier.training.checkpoints.write_synced": unsynced,
}
POWER_CUT = [
    *(
        Control(
            power.test_what_has_its_name_is_on_the_disk,
            without,
            says=says,
            arguments={"scenario": next(s for s in OF_FILES if s.name == name)},
        )
        for name, without, says in (
            ("run finished", {"luthier.core.files.write_synced": unsynced}, "manifest.json was renamed before it"),
            ("run finished", {"luthier.core.files.sync_folder": nothing}, "the name of manifest.json was not on"),
            (
                "wave of answers stored",
                {"luthier.core.record.append_lines": appended},
                "checksums.jsonl was not on the",
            ),
            ("first checkpoint", UNSYNCED, "tensors.safetensors was renamed before it"),
            ("first checkpoint", {"luthier.core.files.sync_folder": nothing}, "the names in step-00000005 were not"),
        )
    ),
    Control(
        power.test_a_file_that_begins_to_grow_has_its_name_on_the_disk,
        {"luthier.core.files.sync_folder": nothing},
        says="the name of lines.jsonl was not on the disk at the end",
    ),
    *(
        Control(
            power.test_saved_weights_are_on_the_disk,
            {"luthier.stages.tune.shared_training.staged_folder": renamed_at_once},
            says="was renamed before it was on the disk",
            arguments={"name": name},
        )
        for name in ("adapter", "model")
    ),
]

# ----------------------------------------------------------------------------------------------------------- damage


def two_checkpoints(request: pytest.FixtureRequest) -> Path:
    """What is needed here of all that is damaged there."""
    folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("checkpoints")
    for step in (5, 10):
        save(folder, step, best=step == 5)
    return folder


REFUSAL = corruption.test_the_refusal_says_what_it_looks_like
NO_CAUSE = {"luthier.core.sealed.looks_like": fine}
NO_SEAL = {"luthier.models.source.require_sealed": nothing}
NO_RECORD = {"luthier.core.record.RunFiles._entries": nothing}

DAMAGED = [
    Control(
        corruption.test_a_flipped_note_of_the_best_checkpoint_does_not_delete_it,
        {"luthier.training.checkpoints.read_checked": read_json},
        says="holds something else",
        arguments={"gathered": two_checkpoints},
    ),
    *(
        Control(REFUSAL, NO_CAUSE, says=f"assert '{cause}", arguments={"kind": kind, "cause": cause})
        for kind, cause in (("LFS pointer", "it is a Git-LFS"), ("HTML page", "it is an HTML"), ("emptied", "it is em"))
    ),
    Control(REFUSAL, NO_SEAL, arguments={"kind": "bit flip", "cause": "differs"}),
    Control(
        REFUSAL,
        NO_SEAL,
        says=r"model.safetensors is broken \(\d+ bytes\)",  # another guard knows the file's own header
        arguments={"kind": "truncation", "cause": "bytes instead of"},
    ),
    Control(
        corruption.test_an_adapter_of_another_run_is_not_taken,
        {"luthier.core.record.RunFiles.knows": lambda *_: False, "luthier.adapters.lora.require_same_answer": nothing},
    ),
    Control(corruption.test_an_adapter_made_elsewhere_needs_no_seal, {"luthier.models.source.require_whole": nothing}),
    Control(corruption.test_a_merged_model_is_looked_at, {"luthier.models.load.require_saved": nothing}),
    Control(
        corruption.test_a_recipe_that_was_edited_is_refused,
        {"luthier.core.record.RunFiles.read": lambda self, name: (self.folder / name).read_bytes()},
        says=r"recipe\.yaml has \d mistake",  # it is read
    ),
    Control(corruption.test_a_step_that_is_damaged_is_made_again_once_it_is_deleted, NO_RECORD),
    Control(
        corruption.test_what_a_crash_left_behind_the_recorded_lines_is_made_again, NO_RECORD, says=r"\{'n': 2\}\] == "
    ),
    Control(corruption.test_logs_that_were_lost_are_not_gone_on_without, NO_RECORD),
    Control(
        corruption.test_a_run_of_an_earlier_version_has_no_record_and_is_read,
        {"luthier.core.record._says_there_is_one": lambda manifest: False},
    ),
    Control(
        corruption.test_a_run_that_was_killed_while_it_was_made_stands_in_nobodys_way,
        {"luthier.core.replacing._hardly_begun": lambda folder: True},
    ),
    Control(
        corruption.test_a_run_that_was_killed_while_it_was_made_stands_in_nobodys_way,
        {"luthier.core.replacing._hardly_begun": lambda folder: False},
        says="is not a run directory",
        fails=(RunError,),
    ),
]

# ------------------------------------------------------------------------------------------------------- full disks


def past_the_disk(path: Path, content: str | bytes) -> None:
    """Write by other means than those that fail."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)


FULL_DISK = [
    Control(
        disk.test_training_stops_with_a_sentence_and_goes_on_to_the_same_bytes,
        {"luthier.training.checkpoints.staged_folder": every.filled_in_place},
        says="step-00000003",
        arguments={"fault": "EIO", "sentence": "The disk did not do what it was told"},
    ),
    Control(
        disk.test_a_run_on_a_disk_that_is_closed_says_so_and_is_left_as_it_was,
        {"luthier.core.record.write_atomically": past_the_disk, "luthier.core.record.append_lines": nothing},
        says="Read-only file system",
    ),
    Control(disk.test_a_run_goes_on_with_its_own_model_only, {"test_full_disk.require_same_model": nothing}),
]

# ------------------------------------------------------------------------------------------------------------ tests

CONTROLS = [*INTERRUPTED, *POWER_CUT, *DAMAGED, *FULL_DISK]
OWN = {
    "test_a_built_in_model_is_what_its_manifest_says": "ends in its control",
    "test_advice_is_given_where_something_can_be_done": "is about texts: there is nothing to take away",
    "test_what_is_damaged_is_refused_by_name_or_made_again": "its controls stand below it",
    "test_whole_files_are_read": "is a control: no false alarm",
    "test_without_its_protection_a_flipped_bit_is_loaded": "is a control",
    "test_without_its_protection_a_point_fails": "is a control",
}
"""Tests whose control does not stand in the table."""


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_without_its_protection_a_test_fails(control: Control, request: pytest.FixtureRequest) -> None:
    require_failure(control, request)


def test_every_test_of_crashes_has_a_control() -> None:
    assert require_all_controlled((corruption, every, disk, power), CONTROLS, OWN) >= 20
