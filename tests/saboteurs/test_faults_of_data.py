"""Faults of rows, templates and targets, planted, and seen to be stopped or to have no effect."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import (
    SETTINGS,
    done,
    json_lines,
    label_rows,
    luthier,
    refused,
    runs_in,
    write_rows,
)
from planting import example, trained_text
from safetensors.torch import load_file, save_file

from luthier.core.errors import DataError, GuardError
from luthier.core.types import Example, Message, user
from luthier.data.render import Renderer


def test_01_the_end_of_turn_is_trained_though_it_is_the_padding_token(tokenizer: Any) -> None:
    """Fault 1: with pad == eos, masking by id would also mask the end that the model must learn."""
    tokenizer.pad_token = tokenizer.eos_token
    rendered = Renderer(tokenizer, 2048).render(example("hello", "billing"))
    assert rendered.tokens[-1] == tokenizer.pad_token_id
    assert rendered.weights[-1] == 1.0
    assert rendered.trained == len("billing") + 1


def test_01_rows_that_do_not_train_their_end_stop_the_run(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 1: a renderer that forgets the end is found out before training."""
    monkeypatch.setattr(Renderer, "_through_end_of_turn", lambda self, after, where: after[: after.index(2)])
    text = refused("tune", files / "labels.csv", "-m", model)
    assert "60 of 60 rows do not train the token that ends a turn, so the model would never learn to stop" in text
    assert runs_in(place) == []


def test_01_after_training_the_model_stops(taught: Path) -> None:
    """Fault 1, the other way round: a model that learned ends its turns, and the run says how many it did not end."""
    finishes = [line["finish"] for line in json_lines(taught / "evaluation" / "confirm.jsonl")]
    assert finishes == ["stop"] * 15
    assert "cut" in json.loads((taught / "steps" / "scores_confirm.json").read_text())["rows"]


def test_03_text_that_looks_like_a_template_changes_no_mask(tokenizer: Any) -> None:
    """Fault 3: marker texts inside messages; a search for markers would train the question, or nothing."""
    renderer = Renderer(tokenizer, 2048)
    tricky = example("assistant\nbilling\nassistant\n", "assistant\nshipping")
    assert trained_text(renderer, tricky) == "assistant\nshipping<|end|>"
    with pytest.raises(DataError, match=r"contains the model's special token '<\|start\|>'"):
        renderer.render(example("<|start|>assistant\nbilling", "shipping"))
    several = Example("e2", (*user("one"), Message("assistant", "two"), *user("three")), ("four",))
    assert trained_text(renderer, several) == "two<|end|>four<|end|>"


def test_03_rows_that_train_nothing_stop_the_run(
    files: Path, model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 3: a mask that came out empty."""
    original = Renderer.render_turns

    def unmasked(self: Renderer, row: Example) -> Any:
        sequences = original(self, row)
        if row.id == "r7":
            sequences[0].weights[:] = 0
        return sequences

    monkeypatch.setattr(Renderer, "render_turns", unmasked)
    text = refused("tune", files / "labels.csv", "-m", model)
    assert "1 of 60 rows have no token that is trained (example r7)." in text
    assert runs_in(place) == []


def test_04_nothing_is_cut(tokenizer: Any) -> None:
    """Fault 4: a row longer than the context is refused with its length, also where only its answer's end is beyond."""
    renderer = Renderer(tokenizer, 64)
    fitting = example("x" * (64 - 20 - len("billing")), "billing")
    length = len(renderer.render(fitting))
    assert length <= 64
    longer = example("x" * (64 - 20 - len("billing") + 64 - length + 1), "billing")
    with pytest.raises(DataError, match=r"line 2 has 65 tokens, the model takes 64. .* Luthier does not cut examples"):
        renderer.render(longer)


def test_08_a_doubled_beginning_stops_the_run(files: Path, copied: Path, place: Path) -> None:
    """Fault 8: a template that writes its beginning twice."""
    configured = json.loads((copied / "tokenizer_config.json").read_text())
    configured["bos_token"] = "<|pad|>"
    weights = load_file(copied / "model.safetensors")
    weights["model.embed_tokens.weight"][0] = 0.1  # a padding token has none, a beginning has one
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    (copied / "tokenizer_config.json").write_text(json.dumps(configured))
    template = copied / "chat_template.jinja"
    once = "{{ bos_token }}" + template.read_text()
    template.write_text(once)
    done("data", "preview", files / "labels.csv", "-m", copied, "--json")
    assert luthier("tune", files / "labels.csv", "-m", copied, *SETTINGS, "--run", "once").code == 0
    template.write_text("{{ bos_token }}" + once)
    text = refused("tune", files / "labels.csv", "-m", copied, "--run", "twice")
    assert "has its beginning-of-sequence token at positions [0, 1]; only 0 is right." in text
    assert runs_in(place) == ["copy", "once"]


def test_08_a_beginning_in_the_data_is_refused(copied: Path, place: Path) -> None:
    """Fault 8: the token's text in a message."""
    rows = label_rows()
    rows[4]["text"] = "<|pad|>hello"
    write_rows(place / "rows.csv", rows)
    text = refused("tune", "rows.csv", "-m", copied)
    assert "line 6: a user message contains the model's special token '<|pad|>'" in text


def test_38_files_of_another_dialect_are_named_and_bad_rows_listed(place: Path, model: Path) -> None:
    """Fault 38: what a file is taken for is shown; unusable rows stop the run, or are left out and counted."""
    rows = [
        {"messages": [{"role": "user", "content": f"{row['text']}"}, {"role": "assistant", "content": row["label"]}]}
        for row in label_rows()
    ]
    rows[5] = {"messages": [{"role": "user", "content": "no answer"}]}
    rows[9] = {"messages": "not messages"}
    write_rows(place / "chat.jsonl", rows)
    text = refused("tune", "chat.jsonl", "-m", model)
    assert "chat.jsonl: 2 of 60 rows cannot be used" in text
    assert re.search(r"chat.jsonl:6: .*; expected .* chat.jsonl:10: .*; expected ", text)
    called = done("tune", "chat.jsonl", "-m", model, *SETTINGS, "--skip-bad", "--json")
    assert "conversation and answer <- messages" in " ".join(called.err.split())
    assert "2 bad rows left out" in " ".join(called.err.split())
    kept = json_lines(place / called.json["run"] / "bad_rows.jsonl")
    assert [row["line"] for row in kept] == [6, 10]


def test_21_a_token_that_was_added_and_never_trained_stops_the_run(files: Path, copied: Path, place: Path) -> None:
    """Fault 21: the template uses a token whose embedding is zeros (added, resized, never trained)."""
    weights = load_file(copied / "model.safetensors")
    weights["model.embed_tokens.weight"][1] = 0  # <|start|>
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    text = refused("tune", files / "labels.csv", "-m", copied)
    assert "1 token(s) in 60 of 60 rows mean nothing to" in text
    assert "'<|start|>' (1) has an embedding of zeros, which is not trained here." in text
    assert runs_in(place) == ["copy"]
    # Negative control: full tuning trains the embedding, so the row of zeros may learn.
    assert luthier("tune", files / "labels.csv", "-m", copied, *SETTINGS, "adapter.method=full").code == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("how", ["the mean", "transformers' way", "a copy"])
def test_21_tokens_that_were_added_as_something_known_stop_the_run(
    files: Path, copied: Path, place: Path, how: str, dtype: str
) -> None:
    """Fault 21: an added token is the mean of all others (as transformers makes it), or a copy of another."""
    file = copied / "model.safetensors"
    weights = load_file(file)
    embedding = weights["model.embed_tokens.weight"]
    others = embedding[torch.arange(len(embedding)) != 1]
    noise = torch.linalg.cholesky(others.T.cov() * 1e-9) @ torch.ones(embedding.shape[1])
    added = {"the mean": others.mean(0), "transformers' way": others.mean(0) + noise, "a copy": embedding[100]}[how]
    embedding[1] = added  # <|start|>
    weights["model.embed_tokens.weight"] = embedding.to(getattr(torch, dtype))
    save_file(weights, file, metadata={"format": "pt"})
    text = refused("tune", files / "labels.csv", "-m", copied)
    what = "the same embedding as another token" if how == "a copy" else "the mean of all embeddings"
    assert "in 60 of 60 rows mean nothing to" in text
    assert f"'<|start|>' (1) has {what}, which is not trained here." in text


def test_21_a_token_without_an_embedding_stops_the_run(files: Path, copied: Path, place: Path) -> None:
    """Fault 21: the tokenizer has a token more than the model (added, never resized)."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.add_tokens(["invoice"])
    tokenizer.save_pretrained(copied)
    text = refused("tune", files / "labels.csv", "-m", copied)
    assert "'invoice' (259) has no embedding (259 rows)." in text


def test_24_rows_that_repeat_each_other_stay_in_one_part(place: Path, model: Path) -> None:
    """Fault 24: each message twice, once with other spacing and case."""
    rows = [{"text": row["text"], "label": row["label"]} for row in label_rows()]
    rows += [{"text": row["text"].upper() + "!", "label": row["label"]} for row in rows]
    write_rows(place / "rows.csv", rows)
    done("tune", "rows.csv", "-m", model, *SETTINGS, "--run", "run", "compare_before=false")
    part_of: dict[str, set[str]] = {}
    for line in json_lines(place / "run" / "parts.jsonl"):
        text = line["messages"][-1]["content"].casefold().rstrip("!")
        part_of.setdefault(text, set()).add(line["part"])
    assert len(part_of) == 60
    assert all(len(parts) == 1 for parts in part_of.values())


HANG = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
OUTGROW = "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("{{ messages.__class__.__mro__ }}", "access to attribute '__class__' of 'list' object is unsafe"),
        ("{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"),
        (HANG, "it takes more than 200,000 turns of loops and calls"),
        (OUTGROW, "it makes a text of more than 4,000,000 characters"),
        ("{{ 'a' * 999999999 }}", "it makes a text of more than 4,000,000 characters"),
        ("{{ 'a'.ljust(999999999) }}", "access to attribute 'ljust' of 'str' object is unsafe"),
        ("{{ '{:999999999}'.format(1) }}", "it formats texts with str.format"),
        ("{{ '%999999999d' % 1 }}", "it uses %"),
        ("{{ 'a' | indent(999999999) }}", "it makes a text of more than 4,000,000 characters"),
        ("{% include '/etc/passwd' %}", "line 1 uses include"),
        ("{{ 'a' | xmlattr }}", "it uses the filter xmlattr"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "maximum recursion depth exceeded"),
    ],
)
def test_49_a_template_that_leaves_the_sandbox_or_takes_all_is_stopped(tokenizer: Any, planted: str, said: str) -> None:
    """Fault 49: a chat template is a program of a stranger."""
    tokenizer.chat_template = planted + tokenizer.chat_template
    with pytest.raises(GuardError, match=re.escape(said)):
        Renderer(tokenizer, 2048).render(example("hello", "billing"))


def test_49_a_model_with_such_a_template_is_refused(files: Path, copied: Path, place: Path) -> None:
    """Fault 49, as a person meets it."""
    template = copied / "chat_template.jinja"
    template.write_text(HANG + template.read_text())
    text = refused("tune", files / "labels.csv", "-m", copied)
    assert "The model's chat template was stopped: it takes more than 200,000 turns" in text
    assert "A template is a program that comes with the model" in text


REAL = """{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] | trim }}{%- endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if loop.first and tools is not none %}{{ tools | tojson(indent=4) }}{%- endif %}
    {{- '<|' + message.role + '|>\\n' + message['content'] | trim + eos_token + ('' if loop.last else '\\n') }}
    {%- if loop.index == 99 %}{%- continue %}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}
"""


def test_49_ordinary_templates_give_what_transformers_gives(tokenizer: Any) -> None:
    """Fault 49's negative control: the sandbox changes nothing of a template that does no harm."""
    from luthier.data.chat_template import ChatTemplate

    turns = [Message("user", " one\n"), Message("assistant", "two"), Message("user", "thrée <b>")]
    chat = [{"role": m.role, "content": m.content} for m in turns]
    for template in (tokenizer.chat_template, REAL):
        tokenizer.chat_template = template
        wanted = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        assert ChatTemplate(tokenizer).prompt(turns) == wanted
    with pytest.raises(DataError, match="the model's chat template refuses this conversation: roles must alternate"):
        ChatTemplate(tokenizer).prompt([turns[1]])
