"""Bad input: one sentence (or a list of rows) that says what to do, exit status 2, and nothing left half-made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import label_rows, luthier, refused, runs_in, seal_again, status, write_rows

DATA_VERBS = ("tune", "adapt")


@pytest.fixture
def asked(files: Path, model: Path, place: Path) -> Callable[..., str]:
    """Call a verb that must refuse, and look that it left nothing behind."""

    def call(*arguments: object) -> str:
        before = runs_in(place)
        text = refused(*arguments)
        assert runs_in(place) == before
        return text.removeprefix("luthier: ")

    return call


# ----------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("verb", DATA_VERBS)
def test_a_missing_column(asked: Callable[..., str], files: Path, model: Path, verb: str) -> None:
    assert asked(verb, files / "labels.csv", "-m", model, "--answer", "lable") == (
        f"--answer names the column 'lable', which {files / 'labels.csv'} does not have. It has: id, text, label, "
        "split. Did you mean 'label'? Name one of these."
    )


@pytest.mark.parametrize("verb", DATA_VERBS)
def test_an_empty_file(asked: Callable[..., str], model: Path, place: Path, verb: str) -> None:
    (place / "empty.csv").write_text("")
    assert asked(verb, "empty.csv", "-m", model) == (
        "empty.csv is empty. A data file has at least a header and a row, or one JSON object. Fill it, or give another."
    )
    (place / "header.csv").write_text("text,label\n")
    assert asked(verb, "header.csv", "-m", model) == (
        "header.csv has a header but no rows: 'text', 'label'. Add rows below it."
    )


@pytest.mark.parametrize("verb", DATA_VERBS)
def test_a_file_that_is_not_there(asked: Callable[..., str], model: Path, place: Path, verb: str) -> None:
    write_rows(place / "tickets.csv", label_rows())
    assert asked(verb, "ticket.csv", "-m", model) == (
        "There is no file or folder ticket.csv. Did you mean 'tickets.csv'? Give the path of a CSV, JSON, JSON Lines "
        "or Parquet file."
    )


@pytest.mark.parametrize("verb", DATA_VERBS)
def test_three_rows(asked: Callable[..., str], model: Path, place: Path, verb: str) -> None:
    write_rows(place / "three.csv", label_rows()[:3])
    assert asked(verb, "three.csv", "-m", model) == (
        "3 row(s) are too few to learn from and to prove anything on: at least 30 are needed, 200 or more are better. "
        "Add rows."
    )


@pytest.mark.parametrize("verb", DATA_VERBS)
def test_all_answers_equal(asked: Callable[..., str], model: Path, place: Path, verb: str) -> None:
    write_rows(place / "same.csv", [row | {"label": "yes"} for row in label_rows()])
    assert asked(verb, "same.csv", "-m", model) == (
        "All 60 rows have the same answer ('yes'), so there is nothing to learn. Check --answer, or add rows with "
        "other answers."
    )


@pytest.mark.parametrize("verb", [*DATA_VERBS, "plan"])
def test_rows_that_the_model_cannot_take_are_listed_together(
    asked: Callable[..., str], model: Path, place: Path, verb: str
) -> None:
    """Faults 4 and 1: nothing is cut silently, and a special token in the data would end a turn in its middle."""
    rows = label_rows()
    rows[3]["text"] = "long " * 600
    rows[10]["label"] = "<|start|>"
    rows[50]["text"] = "a <|end|> in the middle"
    write_rows(place / "rows.csv", rows)
    verbs: dict[str, tuple[Any, ...]] = {"plan": ("adapt", "rows.csv", "--plan")}
    text = asked(*verbs.get(verb, (verb, "rows.csv")), "-m", model)
    assert text == (
        "3 of 60 rows cannot be used with this model: "
        "line 5 has 3027 tokens, the model takes 2048. Shorten the row, or choose a model with a longer context; "
        "Luthier does not cut examples. "
        "line 12: the answer contains the model's special token '<|start|>'; remove or rewrite it in the data. "
        "line 52: a user message contains the model's special token '<|end|>'; remove or rewrite it in the data."
    )


def test_bad_rows_are_named_before_a_model_is_looked_for(asked: Callable[..., str], place: Path) -> None:
    rows = label_rows()
    rows[2]["label"] = rows[7]["label"] = ""
    write_rows(place / "rows.csv", rows)
    text = asked("tune", "rows.csv", "-m", "no/such-model")
    assert text.startswith("rows.csv: 2 of 60 rows cannot be used. Mend them, or leave them out with --skip-bad.")
    assert (
        "rows.csv:4: the answer (column 'label') is empty; expected a right answer; fill it, or remove the row" in text
    )
    assert "rows.csv:9: " in text


def test_a_run_is_not_data(asked: Callable[..., str], tuned: Path) -> None:
    text = asked("tune", tuned)
    assert text == (
        f"{tuned} is a run directory, not data. Go on with it: luthier resume {tuned}. Its recipe can be run again: "
        f"luthier tune {tuned}/recipe.yaml."
    )


# --------------------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("smollm", "No model 'smollm': not a folder, not a built-in model (smollm2-135m-instruct, gemma-3-270m), "),
        ("smollm2-135m-instruc", "Did you mean 'smollm2-135m-instruct'? See: luthier list models."),
        ("./nowhere", "No model './nowhere': not a folder"),
    ],
)
def test_an_unknown_model(asked: Callable[..., str], files: Path, name: str, answer: str) -> None:
    for verb in (("tune", files / "labels.csv"), ("adapt", files / "labels.csv")):
        assert answer in asked(*verb, "-m", name)
    assert answer in asked("evaluate", name, files / "labels.csv")
    assert answer in asked("chat", name)


def test_a_folder_that_is_no_model(asked: Callable[..., str], files: Path, place: Path) -> None:
    (place / "notes").mkdir()
    assert asked("tune", files / "labels.csv", "-m", "notes") == (
        "notes holds no model: a model folder has config.json, an adapter folder adapter_config.json, a run directory "
        "manifest.json. Give one of these, or a name: luthier list models."
    )


@pytest.fixture
def copied(model: Path, place: Path) -> Path:
    """A copy of the model, to be broken."""
    return Path(shutil.copytree(model, place / "copy"))


@pytest.mark.parametrize("verb", ["tune", "adapt", "evaluate", "answer", "chat"])
def test_pickled_weights_are_refused_by_name(
    asked: Callable[..., str], files: Path, copied: Path, place: Path, verb: str
) -> None:
    """Fault 47."""
    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    arguments: dict[str, tuple[Any, ...]] = {
        "tune": (files / "labels.csv", "-m", "copy"), "adapt": (files / "labels.csv", "-m", "copy"),
        "evaluate": ("copy", files / "labels.csv"), "answer": ("copy", files / "labels.csv"), "chat": ("copy",),
    }  # fmt: skip
    assert asked(verb, *arguments[verb]) == (
        "copy holds only pickled weights (pytorch_model.bin), which are refused because loading them runs code. Save "
        "the model as safetensors: model.save_pretrained(folder)."
    )


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_truncated_weights(asked: Callable[..., str], files: Path, copied: Path, share: float) -> None:
    weights = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(weights[: int(len(weights) * share)])
    for verb in (("tune", files / "labels.csv", "-m", "copy"), ("chat", "copy"), ("adapt", files / "labels.csv", "-m",
                 "copy", "--plan")):  # fmt: skip
        text = asked(*verb)
        assert "copy" in text
        assert "broken" in text
        assert "probably a partial download" in text
        assert "Fetch it again." in text


def test_what_only_looks_like_weights(asked: Callable[..., str], copied: Path) -> None:
    (copied / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "is a Git-LFS pointer of 63 bytes, not the weights. Fetch them: git lfs pull." in asked("chat", "copy")
    (copied / "model.safetensors").write_text("<!DOCTYPE html><html>404</html>")
    assert "is an HTML page of 31 bytes, not weights" in asked("chat", "copy")


def test_a_broken_config(asked: Callable[..., str], copied: Path) -> None:
    (copied / "config.json").write_text('{"model_type": "nonsense"}')
    assert asked("chat", "copy").startswith("Cannot read the model in copy: ")
    (copied / "config.json").write_text("{")
    assert asked("chat", "copy").startswith("Cannot read the model in copy: ")


# ------------------------------------------------------------------------------------------------------- adapters


@pytest.fixture
def run_copy(tuned: Path, place: Path) -> Path:
    """A copy of a finished run, to be broken."""
    return Path(shutil.copytree(tuned, place / "run"))


def test_an_adapter_on_another_base_is_refused(
    asked: Callable[..., str], run_copy: Path, copied: Path, files: Path
) -> None:
    """Fault 10: the weights below it are not those it was trained on."""
    from luthier.testing import tiny_model

    other = tiny_model(copied.parent / "other", seed=1)
    record = run_copy / "adapter" / "luthier.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"base": str(other)}))
    seal_again(run_copy)
    for verb in (("chat", "run"), ("evaluate", "run", files / "labels.csv"), ("merge", "run")):
        text = asked(*verb)
        assert text.startswith("The adapter run/adapter was trained on a base with digest ")
        assert text.endswith("its weights are not the same. Use the base it was trained on.")


def test_an_adapter_that_fits_nowhere_names_what_does_not_fit(
    asked: Callable[..., str], run_copy: Path, model: Path, place: Path
) -> None:
    from safetensors.torch import load_file, save_file

    weights = run_copy / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    tensors.pop(min(tensors))
    save_file(tensors, weights)
    seal_again(run_copy)
    assert "does not fit" in asked("chat", "run")


def test_a_broken_or_pickled_adapter(asked: Callable[..., str], run_copy: Path) -> None:
    weights = run_copy / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert "run/adapter is broken" in asked("chat", "run")
    assert "run/adapter is broken" in asked("merge", "run")
    weights.unlink()
    torch.save({}, run_copy / "adapter" / "adapter_model.bin")
    assert "run/adapter is broken: adapter_model.safetensors is missing" in asked("chat", "run")
    seal_again(run_copy)
    assert asked("chat", "run").startswith(
        "The adapter run/adapter holds only pickled weights (adapter_model.bin), which are refused because loading "
        "them runs code."
    )


def test_a_run_with_an_adapter_is_tuned_only_after_merging(
    asked: Callable[..., str], files: Path, tuned: Path, model: Path
) -> None:
    assert asked("tune", files / "labels.csv", "-m", tuned) == (
        f"{tuned} is an adapter on {model}. Merge it first (luthier merge), or tune its base."
    )


# ----------------------------------------------------------------------------------------------- run directories


@pytest.mark.parametrize("verb", ["tune", "adapt", "evaluate"])
def test_a_run_directory_that_cannot_be_written(
    asked: Callable[..., str], files: Path, model: Path, place: Path, verb: str
) -> None:
    (place / "file").write_text("x")
    arguments = (model, files / "labels.csv") if verb == "evaluate" else (files / "labels.csv", "-m", model)
    assert asked(verb, *arguments, "--run", "file/run") == (
        "Cannot write the run directory file/run: Not a directory. Choose another with --run DIR."
    )
    assert (place / "file").read_text() == "x"


def test_a_run_directory_without_the_right_to_write(
    asked: Callable[..., str], files: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    assert asked("tune", files / "labels.csv", "-m", model) == (
        "Cannot write the run directory runs: Permission denied. Choose another with --run DIR."
    )


def test_an_existing_run_names_resume_and_overwrite(
    asked: Callable[..., str], files: Path, model: Path, run_copy: Path
) -> None:
    before = {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()}
    assert asked("tune", files / "labels.csv", "-m", model, "--run", "run") == (
        "run already exists. Go on with it: luthier resume run. Replace it: --overwrite."
    )
    assert {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()} == before


def test_a_folder_with_other_things_is_never_replaced(
    asked: Callable[..., str], files: Path, model: Path, place: Path
) -> None:
    (place / "thesis").mkdir()
    (place / "thesis" / "chapter.tex").write_text("x")
    for flags in ((), ("--overwrite",)):
        text = asked("tune", files / "labels.csv", "-m", model, "--run", "thesis", *flags)
        assert "thesis exists and is not a run directory" in text
    assert (place / "thesis" / "chapter.tex").read_text() == "x"


def test_overwriting_with_a_run_that_cannot_begin_keeps_the_old_one(
    asked: Callable[..., str], model: Path, run_copy: Path, place: Path
) -> None:
    before = {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file() and path.name != ".lock"}
    assert "There is no file or folder nothing.csv." in asked("tune", "nothing.csv", "--run", "run", "--overwrite")
    after = {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before
    assert sorted(p.name for p in place.iterdir()) == ["run"]


def test_overwriting_replaces_the_old_run_when_the_new_one_has_made_something(
    files: Path, model: Path, run_copy: Path, place: Path
) -> None:
    (run_copy / "old.txt").write_text("x")
    assert (
        luthier("adapt", files / "labels.csv", "-m", model, "--budget", "15s", "--run", "run", "--overwrite").code == 0
    )
    assert not (run_copy / "old.txt").exists()
    assert json.loads((run_copy / "manifest.json").read_text())["stage"] == "adapt"
    assert sorted(p.name for p in place.iterdir()) == ["run"]


def test_a_run_that_was_just_put_aside_when_a_kill_came_is_found_again(
    asked: Callable[..., str], files: Path, run_copy: Path, place: Path
) -> None:
    run_copy.rename(place / ".run.replaced")
    text = refused("tune", files / "labels.csv", "--run", "run")
    assert "run already exists." in text
    assert status(place / "run") == "finished"


def test_a_run_that_is_not_there(asked: Callable[..., str], files: Path, tuned: Path, place: Path) -> None:
    (place / "runs").mkdir()
    for number in (2, 10):
        shutil.copytree(tuned, place / "runs" / str(number))
    rows = files / "labels.csv"
    for verb in (("chat", "runs/3"), ("resume", "runs/3"), ("merge", "runs/3"), ("evaluate", "runs/3", rows),
                 ("answer", "runs/3", rows), ("compare", "runs/2", "runs/3")):  # fmt: skip
        assert asked(*verb) == (
            "There is no run runs/3; runs holds: 2, 10. Give one that is there (luthier runs), or a model."
        )


def test_a_run_that_has_not_got_so_far(asked: Callable[..., str], files: Path, run_copy: Path) -> None:
    from luthier.core.run import RunDirectory

    RunDirectory(run_copy).update(status="paused")
    shutil.rmtree(run_copy / "adapter")
    shutil.rmtree(run_copy / "steps")
    assert "holds no trained model (stage tune, status paused). Finish it with: luthier resume run." in asked(
        "chat", "run"
    )
    assert "run has no scores (status paused). Finish it: luthier resume run." in asked("compare", "run", "run")
    assert status(run_copy) == "paused"


def test_groups_that_are_none(asked: Callable[..., str], tuned: Path, place: Path) -> None:
    for name in ("1", "2", "3"):
        shutil.copytree(tuned, place / name)
    place_for_one = "A group is runs with one comma between each two: runs/1,runs/2."
    assert asked("compare", "1,,2", "3") == f"The group '1,,2' has an empty place. {place_for_one}"
    assert asked("compare", "3", "1,2,") == f"The group '1,2,' has an empty place. {place_for_one}"
    assert asked("compare", "1,./1", "3") == (
        "The group '1,./1' has 1 twice. A group is runs with different seeds, each named once."
    )
    assert asked("compare", "1,2", "3,2") == (
        "2 stands in 1,2 and in 3,2. Groups that are compared have no run in common."
    )
    assert asked("compare", "1,2.jsonl", "3") == "There is no answers file 2.jsonl."


# -------------------------------------------------------------------------------------------------- answers files


def test_an_answers_file_that_is_not_there(asked: Callable[..., str], files: Path, place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "answers.jsonl").write_text("")
    for verb in (("evaluate", "out/answer.jsonl", files / "labels.csv"),
                 ("compare", "out/answer.jsonl", "b.jsonl", "--data", files / "labels.csv")):  # fmt: skip
        assert asked(*verb) == "There is no answers file out/answer.jsonl. Did you mean 'answers.jsonl'?"


def test_answers_to_other_rows(asked: Callable[..., str], files: Path, place: Path) -> None:
    (place / "mine.jsonl").write_text('{"example_id": "x7", "text": "billing"}\n')
    assert asked("evaluate", "mine.jsonl", files / "labels.csv") == (
        "None of the 1 answers in mine.jsonl is to one of the 60 rows: its ids are like 'x7', the rows' like 'r0'. "
        "Were they made from another file? The column with the rows' ids is named with --id."
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "mine.jsonl holds no answers. Each line is an object with example_id, text and finish."),
        ('{"id": 3}', "mine.jsonl:1: not an answer (no example_id); expected a JSON object with example_id, text and"),
        ('{"example_id": "r1"}', "mine.jsonl:1: not an answer (no text); expected"),
        ('{"example_id": "r1", "text": null}', "mine.jsonl:1: not an answer (text is null, not a text); expected"),
        ('{"example_id": "r1", "text": "a", "finish": "done"}', '(finish is "done", not one of stop, length, '),
        ("[1]", "mine.jsonl:1: not an answer (list instead of an object); expected"),
        ("billing", "mine.jsonl:1: not an answer (Expecting value: line 1 column 1 (char 0)); expected"),
        ('{"example_id": "r1", "text": "a"}\n{"example_id": "r1", "text": "b"}',
         "mine.jsonl has two answers to the example 'r1'. Give one answer an example."),
    ],
)  # fmt: skip
def test_what_is_no_answers_file(asked: Callable[..., str], files: Path, place: Path, line: str, problem: str) -> None:
    (place / "mine.jsonl").write_text(line and f"{line}\n")
    assert problem in asked("evaluate", "mine.jsonl", files / "labels.csv")


def test_a_metric_that_does_not_fit_is_known_before_anything_is_answered(
    asked: Callable[..., str], files: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.generation.local import LocalModel

    monkeypatch.setattr(LocalModel, "complete", lambda *_: pytest.fail("asked"))
    text = asked("evaluate", model, files / "labels.csv", "--metrics", "json_field_f1")
    assert "json_field_f1 needs references that are JSON; that of example 'r0' is not: 'billing'." in text
    text = asked("evaluate", model, files / "labels.csv", "--metrics", "exact")
    assert text.startswith("Unknown metric 'exact'. Known: accuracy, ")
    assert text.endswith("Did you mean 'exact_match'?")


# ----------------------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        (("--budget", "2s"), "A budget of 2.0 s is too small for anything: "),
        (("--budget", "soon"), "budget_seconds: 'soon' is not a duration. Write seconds (90), or 90s, 10m, 1h30m."),
        (("--target", "80"), "target: Input should be less than or equal to 1 (received 80.0)"),
        (("--kind", "class"), "Unknown task 'class'. "),
        (("--precision", "fp8"), "Precision 'fp8' is unknown. Known: auto, fp32, bf16."),
        (("--cluster", "custmer"), "--cluster names the column 'custmer', which "),
        (("--prompt", "Say yes."), "--prompt 'Say yes.' names no column, so every row would ask the same."),
        (
            ("--prompt", "{text} {label}", "--answer", "label"),
            "The prompt contains the column 'label', which is also the answer: ",
        ),
    ],
)
def test_a_wrong_value(
    asked: Callable[..., str], files: Path, model: Path, flags: tuple[str, str], answer: str
) -> None:
    text = asked("adapt", files / "labels.csv", "-m", model, *flags)
    assert answer.removeprefix("budget_seconds: ") in text


def test_a_recipe_that_is_none(asked: Callable[..., str], place: Path) -> None:
    assert asked("tune", "recipe.yaml") == "Cannot read the recipe recipe.yaml: No such file or directory."
    (place / "recipe.yaml").write_text("- a\n- b\n")
    assert asked("tune", "recipe.yaml") == (
        "The recipe recipe.yaml must hold keys and values at its top, found list. Write lines such as 'model: NAME'."
    )
    (place / "recipe.yaml").write_text("model: x\n")
    assert "recipe.yaml has 1 mistake(s): recipe.yaml:1: data: Field required. Add it." in asked("tune", "recipe.yaml")
    assert "A recipe says itself how its data is read" in asked("tune", "recipe.yaml", "--answer", "label")
