"""luthier merge and chat: a model that needs no Luthier, and one to talk to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from command_line import done, json_lines, luthier, manifest, refused, runs_in
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from luthier.generation.lean.packing import can_halve


def plain_logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids).logits[0]


def probe(folder: Path) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "quiet parcel soft old 7"}], tokenize=False, add_generation_prompt=True
    )
    return torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])


@pytest.fixture(scope="module")
def merged(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merged") / "plain"
    called = done("merge", tuned, "--to", folder, "--json")
    assert called.json == {"model": str(folder)}
    assert f"Merged model in {folder}." in called.said
    return folder


def test_a_merged_folder_is_a_plain_model_with_the_adapters_logits(merged: Path, tuned: Path, model: Path) -> None:
    """Loaded by transformers alone, beside PEFT's own adapter on the base: the same logits."""
    ids = probe(merged)
    alone = plain_logits(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval(), ids)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    without = plain_logits(base, ids)
    with_adapter = plain_logits(PeftModel.from_pretrained(base, tuned / "adapter").eval(), ids)
    assert torch.allclose(alone, with_adapter, atol=1e-4)
    assert (alone - without).abs().max() > 1e-3  # the adapter does something
    measured = json.loads((merged / "merge.json").read_text())
    assert measured["largest_logit_difference"] < 1e-3
    assert measured["same_top_token"] == 1.0
    assert not any("lora" in name for name in load_file(merged / "model.safetensors"))


def test_a_merged_model_answers_as_the_run_does(merged: Path, tuned: Path, files: Path, place: Path) -> None:
    texts = {}
    for name, what in (("run", tuned), ("plain", merged)):
        done("evaluate", what, files / "labels.csv", "--run", name, "--precision", "fp32")
        texts[name] = [line["text"] for line in json_lines(place / name / "evaluation" / "answers.jsonl")]
    assert texts["run"] == texts["plain"]


def test_merging_twice_is_refused_and_keeps_the_first(merged: Path, tuned: Path) -> None:
    before = (merged / "model.safetensors").read_bytes()
    text = refused("merge", tuned, "--to", merged)
    assert text == f"luthier: {merged} already exists. Remove it, or name another folder with --to."
    assert (merged / "model.safetensors").read_bytes() == before


def test_what_has_no_adapter_is_not_merged(taught: Path, place: Path) -> None:
    assert f"{taught} has no adapter to merge." in refused("merge", taught)
    assert "There is no run runs/7; runs holds no runs." in refused("merge", "runs/7")
    assert runs_in(place) == []


# ----------------------------------------------------------------------------------------------------------- chat


def test_piped_lines_are_answered_one_by_one(taught: Path) -> None:
    called = done("chat", taught, stdin="red invoice old 3\n\nlate small parcel\n")
    assert called.out == "billing\nshipping\n"


def test_the_conversation_as_json(taught: Path) -> None:
    called = done("chat", taught, "--json", stdin="red invoice old 3\n")
    assert called.json == [
        {"role": "user", "content": "red invoice old 3"},
        {"role": "assistant", "content": "billing"},
    ]
    assert called.err.endswith("billing\n")


def test_the_answer_keeps_to_the_limit(model: Path, tuned: Path) -> None:
    called = done("chat", model, "--max-tokens", "5", "--json", stdin="hello\n")
    assert len(called.json[1]["content"].encode()) <= 20  # five tokens of one byte each; a broken one is three bytes
    assert manifest(tuned)["answering"]["strategy"]["max_tokens"] == 12
    assert luthier("chat", model, "--max-tokens", "0", stdin="hello\n").code == 2


def test_what_cannot_be_asked_is_said(model: Path, place: Path) -> None:
    text = refused("chat", model, stdin="a <|end|> in the middle\n")
    assert "contains the model's special token '<|end|>'" in text
    write = place / "answers.jsonl"
    write.write_text("")
    assert "answers.jsonl is a file: there is nobody to chat with." in refused("chat", write)
    assert "There is no run runs/3; runs holds no runs." in refused("chat", "runs/3")


def test_the_precision_of_decoding_is_same_or_fp16(taught: Path) -> None:
    text = refused("chat", taught, "--decode-precision", "int3", stdin="hello\n")
    assert "Decode precision 'int3' is unknown. Known: same, fp16." in text
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LUTHIER_NO_BF16", raising=False)
        patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
        text = refused("chat", taught, "--decode-precision", "fp16", stdin="hello\n")
        assert "here they compute in bf16 on cpu" in text
    if can_halve():
        asked = ("chat", taught, "--precision", "fp32")
        same = done(*asked, stdin="red invoice old 3\n").out
        assert done(*asked, "--decode-precision", "fp16", stdin="red invoice old 3\n").out == same


def test_a_run_won_by_a_rival_without_a_model_has_nobody_to_chat_with(adapted: Path) -> None:
    text = refused("chat", adapted, stdin="hello\n")
    assert f"The winner of {adapted} is no language model (tfidf): there is nobody to chat with." in text
    assert f"It answers rows: luthier answer {adapted} FILE." in text


class Terminal:
    """A person's questions; Ctrl-C where a question is None."""

    def __init__(self, questions: list[str | None]) -> None:
        self._questions = iter([*questions, ""])

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        question = next(self._questions)
        if question is None:
            raise KeyboardInterrupt
        return question


def talk(model: Path, questions: list[str | None], **options: object) -> tuple[str, list[dict[str, str]]]:
    import io
    from typing import Any

    from luthier.cli.conversation import talk as converse
    from luthier.core.listener import SilentListener

    settings: dict[str, Any] = {"max_tokens": 12, "temperature": 0.0, "remember": False, "precision": "fp32"}
    terminal: Any = Terminal(questions)
    screen = io.StringIO()
    said = converse(str(model), terminal, screen, SilentListener(), **(settings | options))
    return screen.getvalue(), said


def test_at_a_terminal_a_wrong_question_does_not_end_the_conversation(taught: Path) -> None:
    shown, said = talk(taught, ["a <|end|> b\n", "red invoice old 3\n"])
    assert "luthier: a user message contains the model's special token" in shown
    assert shown.count("> ") >= 3
    assert [message["content"] for message in said] == ["red invoice old 3", "billing"]


def test_at_a_terminal_ctrl_c_ends_an_answer_and_then_the_conversation(
    taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.generation.writer import Writer

    original = Writer.stream

    def interrupted(self: Writer, request: object) -> object:
        for count, piece in enumerate(original(self, request)):  # type: ignore[arg-type]
            if count == 3:
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr(Writer, "stream", interrupted)
    shown, said = talk(taught, ["red invoice old 3\n", None, "never asked\n"])
    assert shown == "> bil …\n> \n"
    assert said[1]["content"] == "bil"


def test_a_conversation_is_remembered_if_asked(taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.core.types import Request
    from luthier.generation.writer import Writer

    asked: list[Request] = []
    monkeypatch.setattr(Writer, "stream", lambda self, request: (asked.append(request), iter(["yes"]))[1])
    talk(taught, ["one\n", "two\n"], remember=True)
    assert [message.content for message in asked[1].messages] == ["one", "yes", "two"]
    asked.clear()
    talk(taught, ["one\n", "two\n"])
    assert [message.content for message in asked[1].messages] == ["two"]


def test_a_conversation_is_not_read_again(taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.core.types import Decoding
    from luthier.generation.engine import BatchEngine
    from luthier.generation.sequences import Generation

    turns: list[Generation] = []
    original = BatchEngine.stream

    def watched(self: BatchEngine, prompt: Sequence[int], decoding: Decoding) -> Iterator[Generation]:
        for job in original(self, prompt, decoding):
            yield job
        turns.append(job)

    monkeypatch.setattr(BatchEngine, "stream", watched)
    talk(taught, ["red invoice old 3\n", "red invoice old 4\n"], remember=True)
    first, second = turns
    assert first.cached_tokens == 0
    assert len(first.prompt) < second.cached_tokens < len(second.prompt)
