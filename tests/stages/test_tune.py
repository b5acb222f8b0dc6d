"""luthier tune, from rows to a proven adapter: what is on disk, and that its figures follow from each other."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import SETTINGS, done, json_lines, manifest, page_text, refused, reproducible_files, runs_in, status
from safetensors.torch import load_file

from luthier import Run, load
from luthier.core.files import read_json
from luthier.core.run import RunDirectory
from luthier.core.types import Example, user
from luthier.evaluation.answering import read_answers
from luthier.evaluation.comparison import Comparison, compare
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.opening import examples_of
from luthier.evaluation.statistics import Scores


def scores_again(run: Path, name: str, part: str, metrics: list[str]) -> Scores:
    """Measure the stored answers anew."""
    examples: list[Example] = examples_of(RunDirectory(run), part)
    labels = tuple(manifest(run)["task"]["labels"])
    built = [build_metric(m, **({"labels": labels} if m == "macro_f1" else {})) for m in metrics]
    return Scores.measure("again", examples, read_answers(run / "evaluation" / f"{name}.jsonl"), built)


def test_a_run_is_on_disk_whole(tuned: Path) -> None:
    assert status(tuned) == "finished"
    assert {"recipe.yaml", "manifest.json", "metrics.jsonl", "timings.jsonl", "parts.jsonl", "adapter", "evaluation",
            "report.html", "card.md", "steps", "tensorboard"} <= set(runs_in(tuned))  # fmt: skip
    assert not (tuned / "checkpoints").exists()  # nothing to go on from is needed any more
    assert set(runs_in(tuned / "adapter")) >= {"adapter_model.safetensors", "adapter_config.json", "luthier.json"}
    recipe = yaml.safe_load((tuned / "recipe.yaml").read_text())
    assert recipe["training"]["epochs"] == 1
    assert recipe["training"]["checkpoint_every"] == 20  # defaults are filled in


def test_the_parts_are_the_given_ones(tuned: Path) -> None:
    found = manifest(tuned)
    assert found["data"]["parts"] == {"tune": 30, "choose": 15, "confirm": 15}
    lines = json_lines(tuned / "parts.jsonl")
    assert [line["id"] for line in lines] == [f"r{i}" for i in range(60)]
    assert [line["part"] for line in lines] == ["tune"] * 30 + ["choose"] * 15 + ["confirm"] * 15
    assert found["task"]["kind"] == "classification"
    assert found["task"]["metrics"] == ["accuracy", "macro_f1"]


def test_steps_predictions_and_rates_are_those_of_the_recipe(tuned: Path) -> None:
    """30 rows in eights are 4 steps; bytes of 'billing', 'shipping', 'other' and an end are 8, 9 and 6 predictions."""
    lines = json_lines(tuned / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert sum(line["train_num_predictions"] for line in lines) == 10 * (8 + 9 + 6)
    assert manifest(tuned)["training_tokens"]["trained"] == 10 * (8 + 9 + 6)
    assert manifest(tuned)["plan"]["iterations"] == 4
    computed = manifest(tuned)["model"]
    assert computed["device"] == "cpu"
    assert computed["own_functions"] == {"LlamaRMSNorm": 7, "LlamaMLP": 3}
    rates = [line["learning_rate"] for line in lines]
    assert rates == pytest.approx([3e-4 * 0.5 * (1 + math.cos(math.pi * k / 4)) for k in range(4)])
    validated = [line for line in lines if "eval_total_loss" in line]
    assert [line["step"] for line in validated] == [1, 2, 3, 4]
    assert {line["eval_num_predictions"] for line in validated} == {5 * (8 + 9 + 6)}
    assert [line["step"] for line in json_lines(tuned / "timings.jsonl")] == [1, 2, 3, 4]


def test_the_scores_follow_from_the_stored_answers(tuned: Path) -> None:
    for name in ("confirm", "before_confirm"):
        stored = Scores.from_json(read_json(tuned / "steps" / f"scores_{name}.json"))
        again = scores_again(tuned, name, "confirm", ["accuracy", "macro_f1", "empty", "cut"])
        assert stored.example_ids == again.example_ids == tuple(f"r{i}" for i in range(45, 60))
        for metric in ("accuracy", "macro_f1", "empty", "cut"):
            assert stored.value(metric) == again.value(metric)


def test_the_verdict_follows_from_the_scores(tuned: Path) -> None:
    before, after = (Scores.from_json(read_json(tuned / "steps" / f"scores_{n}.json"))
                     for n in ("before_confirm", "confirm"))  # fmt: skip
    verdict = manifest(tuned)["verdict"]
    assert Comparison.from_json(verdict) == compare(before, after, "accuracy")
    assert before.answerer != after.answerer


def test_the_output_limit_is_the_longest_answer_and_a_quarter(tuned: Path) -> None:
    """'shipping' and its end are 9 tokens: 9 x 1.25 = 11.25, so 12; every answer keeps to it."""
    assert manifest(tuned)["lengths"]["output_limit"] == 12
    assert manifest(tuned)["answering"]["strategy"]["max_tokens"] == 12
    used = [line["usage"]["completion_tokens"] for line in json_lines(tuned / "evaluation" / "confirm.jsonl")]
    assert max(used) <= 12


def test_what_was_seen_is_in_report_and_card(tuned: Path, model: Path) -> None:
    assert "No difference is shown between the tuned model and the model before" in page_text(tuned)
    page = (tuned / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#|data:)', page)  # opens with no network
    card = (tuned / "card.md").read_text(encoding="utf-8")
    assert 'PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), "adapter")' in card
    assert str(model) in card


def test_the_adapter_is_what_answered(tuned: Path) -> None:
    """The run opened again gives the stored answers, text by text."""
    examples = examples_of(RunDirectory(tuned), "confirm")
    stored = read_answers(tuned / "evaluation" / "confirm.jsonl")
    from luthier.evaluation.opening import open_answerer

    again = list(open_answerer(str(tuned)).answer(examples))
    assert [a.to_json() for a in again] == [a.to_json() for a in stored]


def test_the_python_interface_shows_the_same(tuned: Path) -> None:
    run = Run(RunDirectory(tuned))
    frame = run.scores()
    row = frame[(frame.evaluation == "confirm") & (frame.metric == "accuracy")].iloc[0]
    stored = Scores.from_json(read_json(tuned / "steps" / "scores_confirm.json"))
    assert row.value == stored.value("accuracy")
    assert (row.low, row.high, row.rows) == (*_bounds(stored), 15)
    assert [a.example_id for a in run.answers("confirm")] == [f"r{i}" for i in range(45, 60)]
    assert run.verdict["verdict"] == "not shown"
    pieces = "".join(load(str(tuned)).stream(_request()))
    assert isinstance(pieces, str)


def _bounds(scores: Scores) -> tuple[float, float]:
    found = scores.interval("accuracy")
    return found.low, found.high


def _request() -> Any:
    from luthier.core.types import Decoding, Request

    return Request(user("hello"), Decoding(max_tokens=4))


def test_full_tuning_leaves_a_plain_model(files: Path, model: Path, place: Path) -> None:
    called = done("tune", files / "labels.csv", "-m", model, "adapter.method=full", "training.epochs=1",
                  "training.learning_rate=1e-3", "precision=fp32", "--json")  # fmt: skip
    run = Path(called.json["run"])
    assert run == Path("runs/1")
    trained, base = load_file(run / "model" / "model.safetensors"), load_file(model / "model.safetensors")
    assert set(trained) == set(base)
    assert all((trained[name] != base[name]).any() for name in trained)
    assert manifest(run)["trained_parameters"] == sum(tensor.numel() for tensor in base.values())
    again = done("evaluate", run, files / "labels.csv", "--json").json
    assert again["status"] == "finished"
    page = (run / "card.md").read_text()
    assert 'AutoModelForCausalLM.from_pretrained("model")' in page


def test_a_recipe_with_overrides(files: Path, model: Path, place: Path) -> None:
    recipe = place / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "data": {"path": str(files / "labels.csv")},
                "model": str(model),
                "adapter": {"method": "lora", "rank": 2},
                "training": {"epochs": 3, "learning_rate": 1e-3},
                "compare_before": False,
            }
        )
    )
    called = done("tune", recipe, "training.epochs=0.5", "adapter.target_modules=[q_proj]", "--run", "out", "--json")
    found = yaml.safe_load((place / "out" / "recipe.yaml").read_text())
    assert (found["training"]["epochs"], found["training"]["learning_rate"]) == (0.5, 1e-3)
    assert found["adapter"] | {"method": "lora", "rank": 2, "target_modules": ["q_proj"]} == found["adapter"]
    assert manifest(place / "out")["trained_parameters"] == 3 * 2 * (32 + 32)  # layers x rank x (inputs + outputs)
    assert not (place / "out" / "evaluation" / "before_confirm.jsonl").exists()
    assert called.json["verdict"] == {
        "metric": "accuracy",
        "value": called.json["scores"]["confirm"]["accuracy"]["value"],
    }
    # The resolved recipe is a recipe: run again it gives the same adapter.
    done("tune", "out/recipe.yaml", "--run", "again")
    first, second = ((place / run / "adapter" / "adapter_model.safetensors").read_bytes() for run in ("out", "again"))
    assert first == second


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("training.epoch=1", "training.epoch: unknown key. Known here: epochs, .* Did you mean 'epochs'?"),
        ("trainin.epochs=1", "trainin: unknown key. Known here: data, model, .* Did you mean 'training'?"),
        ("adapter.rnk=4", "rnk: unknown key. Known here: method, rank, alpha, .* Did you mean 'rank'?"),
        ("data.read.promt=x", "data.read.promt: unknown key. .* Did you mean 'prompt'?"),
        ("adapter.method=lorra", "Unknown adapter 'lorra'. Known: full, lora. Did you mean 'lora'?"),
        ("objective=stf", "Unknown objective 'stf'. Known: causal_lm, sft. Did you mean 'sft'?"),
        ("training.epochs=0", "training.epochs: Input should be greater than 0 .received 0."),
        ("training.learning_rate=fast", "training.learning_rate: Input should be a valid number, .* .received 'fast'."),
        ("training.schedule=cosin", "training.schedule: Input should be 'constant', 'linear' or 'cosine' .*'cosin'."),
        ("training.epochs", "'training.epochs' is not an override. Write section.key=value, e.g."),
    ],
)  # fmt: skip
def test_a_wrong_key_names_the_nearest_and_leaves_nothing(
    files: Path, model: Path, place: Path, override: str, answer: str
) -> None:
    """Fault 37: a key that nobody reads is an error, not a silent default."""
    assert re.search(answer, refused("tune", files / "labels.csv", "-m", model, override))
    assert not (place / "runs").exists()


def test_several_wrong_keys_are_told_together(files: Path, model: Path, place: Path) -> None:
    text = refused("tune", files / "labels.csv", "-m", model, "training.epoch=1", "seeds=2", "training.patience=0")
    assert "3 mistake(s)" in text
    assert all(key in text for key in ("training.epoch:", "seeds:", "training.patience:"))


def test_the_same_run_twice_is_the_same_bytes(files: Path, model: Path, place: Path, tuned: Path) -> None:
    done("tune", files / "labels.csv", "-m", model, "--run", "again", *SETTINGS)
    assert reproducible_files(place / "again") == reproducible_files(tuned)


def test_early_stopping_ends_with_the_best_weights(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the second validation they get worse: what is saved are the weights of step 2, not of the last step."""
    from luthier.stages.tune import shared_training
    from luthier.training.validation import Validation

    losses = iter([3.0, 2.0, 2.5, 2.6])
    settings = (
        "precision=fp32",
        "batch.sequences=8",
        "training.schedule=constant",
        "training.warmup_share=0",
        "compare_before=false",
    )
    with monkeypatch.context() as patch:
        patch.setattr(shared_training, "validate", lambda *_: Validation(next(losses), 0.0, 1))
        called = done("tune", files / "labels.csv", "-m", model, "--run", "run", *settings, "training.epochs=2",
                      "training.validations=8", "training.patience=2")  # fmt: skip
    assert len(json_lines(place / "run" / "metrics.jsonl")) == 4
    assert "stopped early at step 4: best validation at step 2" in called.said
    done("tune", files / "labels.csv", "-m", model, "--run", "short", *settings, "training.epochs=0.5")
    kept, short = ((place / run / "adapter" / "adapter_model.safetensors").read_bytes() for run in ("run", "short"))
    assert kept == short


def test_summaries_with_several_right_answers(files: Path, model: Path, place: Path) -> None:
    """Rows are divided by hash; trained on the first summary, scored by the best of both; JSON Lines are read."""
    done("tune", files / "dialogues.jsonl", "-m", model, "--run", "run", "--prompt", "Summarize:\n{dialogue}",
         "--answer", "summaries", "--kind", "summarization", "training.epochs=0.3",
         "compare_before=false")  # fmt: skip
    found = manifest(place / "run")
    assert found["task"]["metrics"] == ["rougeL", "rouge1", "rouge2"]
    assert sum(found["data"]["parts"].values()) == 60
    assert min(found["data"]["parts"].values()) >= 5
    lines = json_lines(place / "run" / "parts.jsonl")
    assert all(line["messages"][0]["content"].startswith("Summarize:\nAnn: the ") for line in lines)
    assert all(len(line["references"]) == 2 for line in lines)
    first = sum(len(line["references"][0]) + 1 for line in lines if line["part"] == "tune")
    assert found["training_tokens"]["trained"] == first
    confirm = [line for line in lines if line["part"] == "confirm"]
    again = scores_again(place / "run", "confirm", "confirm", ["rougeL", "rouge1", "rouge2"])
    stored = Scores.from_json(read_json(place / "run" / "steps" / "scores_confirm.json"))
    assert [stored.value(m) for m in again.names] == [again.value(m) for m in again.names]
    # Answers that repeat the second summary are as right as can be.
    (place / "mine.jsonl").write_text(
        "".join(json.dumps({"example_id": line["id"], "text": line["references"][1]}) + "\n" for line in confirm)
    )
    (place / "rows.jsonl").write_text("".join(json.dumps(line["fields"]) + "\n" for line in confirm))
    scored = done("evaluate", "mine.jsonl", "rows.jsonl", "--prompt", "{dialogue}", "--answer", "summaries",
                  "--metrics", "rougeL", "--json").json  # fmt: skip
    assert scored["scores"]["scores"]["rougeL"]["value"] == 1.0
