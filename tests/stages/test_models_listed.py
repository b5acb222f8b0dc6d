"""luthier list models: what there is, and whether it fits here."""

from __future__ import annotations

import io

import pytest
from command_line import done

from luthier.models.fit import Machine
from luthier.reporting.blocks import Table
from luthier.reporting.screen import open_console, print_block
from luthier.stages.catalogue import about, blocks_of, models_here


def machine(memory_gb: float | None) -> Machine:
    return Machine("cpu", "fp32", None if memory_gb is None else int(memory_gb * 1e9), 100.0)


def told(memory_gb: float | None) -> dict[str, dict[str, str]]:
    return {entry["name"]: entry for entry in models_here(machine(memory_gb))}


def test_what_fits_depends_on_the_memory() -> None:
    """In fp32 a 135 M model needs about 1 GB and some; 1.5 B parameters are 6.2 GB of weights alone."""
    found = {gb: told(gb) for gb in (0.5, 9, 500)}
    assert {entry["fits"] for entry in found[0.5].values()} == {"no"}
    assert {entry["LoRA"] for entry in found[0.5].values()} == {"–"}
    assert found[9]["smollm2-135m-instruct"]["fits"] == "tuning"
    assert found[9]["Qwen/Qwen2.5-7B-Instruct"]["fits"] == "no"
    assert {entry["fits"] for entry in found[500].values()} == {"tuning"}
    assert {entry["fits"] for entry in told(None).values()} == {"not known"}


def test_times_are_rough_and_longer_for_larger_models() -> None:
    """90,000 tokens x 4 x (106.2 M + 28.3 M / 5) operations at 50 GFLOP/s: 805 s."""
    found = told(500)
    assert found["smollm2-135m-instruct"]["LoRA"] == "about 13 min"
    assert found["Qwen/Qwen2.5-7B-Instruct"]["LoRA"].endswith(" h")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "about 10 s"), (34, "about 30 s"), (89, "about 90 s"), (91, "about 2 min"), (190, "about 3 min"),
     (5300, "about 88 min"), (5500, "about 2 h"), (20 * 3600, "about 20 h"), (50 * 3600, "about 2 d")],
)  # fmt: skip
def test_times_are_written_in_one_unit(seconds: float, text: str) -> None:
    assert about(seconds) == text


def test_who_may_download_and_what_was_tried_is_told() -> None:
    found = told(20)
    assert {name for name, entry in found.items() if entry["tried"] == "yes"} == {
        "smollm2-135m-instruct",
        "gemma-3-270m",
    }
    assert found["meta-llama/Llama-3.2-1B-Instruct"]["access"] == "gated"
    assert found["mistralai/Mistral-7B-Instruct-v0.3"]["access"] == "see its page"
    assert found["gemma-3-270m"]["access"] == "terms to accept"
    assert found["google/gemma-3-1b-it"]["parameters"] == "1.0 B"
    tables = [block for block in blocks_of("models", list(found.values())) if isinstance(block, Table)]
    assert [len(table.rows) for table in tables] == [2, 12]
    starred = {str(row[0]) for table in tables for row in table.rows if str(row[2]).endswith(" *")}
    assert starred == {name for name, entry in found.items() if entry["access"] != "open"}
    assert len(starred) == 5


def test_the_screen_says_how_to_get_gated_models() -> None:
    said = " ".join(done("list", "models").out.split())
    assert "accept the terms on the model's page (huggingface.co/NAME), then hf auth login, or set HF_TOKEN" in said
    assert "300 rows of 150 tokens, 2 epochs" in said


def test_names_are_whole_in_a_terminal_of_80_columns() -> None:
    entries = models_here(machine(20))
    stream = io.StringIO()
    console = open_console(stream, color=True)
    console.width = 80
    for block in blocks_of("models", entries):
        print_block(console, block)
    assert len(entries) == 14
    assert [entry["name"] for entry in entries if entry["name"] not in stream.getvalue()] == []
