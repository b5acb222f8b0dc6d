"""luthier data check and preview, list, env: looking before spending anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TICKETS, done, label_rows, luthier, refused, runs_in, write_rows


def test_check_names_dialect_task_parts_and_lengths(files: Path, model: Path, place: Path) -> None:
    called = done("data", "check", files / "labels.csv", "-m", model, "--json")
    found = called.json
    assert found["description"] == "labels.csv: CSV (delimiter ',', UTF-8), 60 rows"
    assert found["mapping"] == "prompt <- text, answer <- label, id <- id, split <- split"
    assert (found["rows"], found["bad_rows"], found["near_duplicates"]) == (60, [], 0)
    assert found["parts"] == {"tune": 30, "choose": 15, "confirm": 15}
    assert found["task"]["kind"] == "classification"
    assert found["lengths"]["unit"] == "tokens"
    # A byte is a token: 'billing', 'shipping', 'other' and their ends.
    assert found["lengths"]["answer"]["maximum"] == 9
    assert found["lengths"]["answer"]["mean"] == pytest.approx((8 + 9 + 6) / 3)
    assert found["lengths"]["output_limit"] == 12
    # Of tune and choose, with the template's <|start|>, "user", line break, <|end|>, line break, <|start|>, "assistant"
    # and line break around them.
    prompts = [len(row["text"].encode()) + 1 + 5 + 2 + 1 + 10 for row in label_rows()[:45]]
    assert found["lengths"]["prompt"]["mean"] == pytest.approx(sum(prompts) / 45)
    assert runs_in(place) == []


def test_check_lists_all_bad_rows_and_says_so_by_its_exit_status(place: Path) -> None:
    rows = label_rows()
    rows[3]["label"] = ""
    rows[17]["text"] = ""
    write_rows(place / "rows.csv", rows)
    called = luthier("data", "check", "rows.csv", "--json")
    assert called.code == 1
    assert len(called.json["bad_rows"]) == 2
    assert called.json["bad_rows"][0].startswith("rows.csv:5: the answer (column 'label') is empty; expected")
    assert called.json["bad_rows"][1].startswith("rows.csv:19: ")
    assert "rows.csv:5: the answer (column 'label') is empty" in called.said


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (label_rows()[:3], "3 row(s) are too few"),
        ([row | {"label": "same"} for row in label_rows()], "All 60 rows have the same answer ('same')"),
    ],
)
def test_check_says_what_would_stop_a_run(place: Path, rows: list[dict[str, str]], problem: str) -> None:
    write_rows(place / "rows.csv", rows)
    called = luthier("data", "check", "rows.csv", "--json")
    assert called.code == 1
    assert called.json["problem"].startswith(problem)
    assert problem in called.said


def test_check_says_how_varied_the_rows_are(files: Path) -> None:
    called = done("data", "check", files / "labels.csv", "--json")
    found = called.json["diversity"]
    assert (found["rows"], found["near_duplicates"], found["vectors"]) == (30, 0, "TF-IDF")
    figures = (
        "; distinct-1 {distinct_1:.2f}, distinct-2 {distinct_2:.2f}, distinct-3 {distinct_3:.2f}; spread {spread:.2f}"
    )
    assert f"0 % of 30 rows nearly repeat others{figures.format(**found)} (TF-IDF)" in called.said
    assert "take fewer epochs" not in called.said


def test_check_advises_fewer_epochs_where_rows_repeat(place: Path) -> None:
    rows = label_rows()
    for number in range(20, 30):  # of 30 rows to learn from, ten repeat others
        rows[number] |= {"text": rows[number - 9]["text"].upper() + " !"}
    write_rows(place / "rows.csv", rows)
    called = done("data", "check", "rows.csv", "--json")
    advice = "A third of the rows to learn from (33 %) nearly repeat others: take fewer epochs (2)"
    assert f"(500 or more, 2 to 4 epochs). {advice}" in called.said
    assert called.json["diversity"]["near_duplicates"] == pytest.approx(1 / 3)
    assert called.json["near_duplicates"] == 10


def test_rows_of_a_cluster_are_no_near_duplicates(place: Path) -> None:
    write_rows(place / "rows.csv", [row | {"who": f"c{number % 20}"} for number, row in enumerate(label_rows())])
    assert done("data", "check", "rows.csv", "--cluster", "who", "--json").json["near_duplicates"] == 0


def test_too_few_rows_are_measured_all_the_same(place: Path) -> None:
    write_rows(place / "rows.csv", label_rows()[:3])
    assert luthier("data", "check", "rows.csv", "--json").json["diversity"]["rows"] == 3


def test_the_shipped_tickets_are_clean() -> None:
    found = done("data", "check", TICKETS, "--json").json
    assert (found["rows"], found["bad_rows"]) == (360, [])
    assert found["parts"] == {"tune": 200, "choose": 70, "confirm": 90}
    assert found["task"]["kind"] == "extraction"


def test_preview_shows_every_token_and_which_are_trained(files: Path, model: Path) -> None:
    called = done("data", "preview", files / "labels.csv", "-m", model, "--rows", "2", "--json")
    first, second = called.json
    row = label_rows()[0]
    assert first["example_id"] == "r0"
    assert second["example_id"] == "r1"
    prompt = f"<|start|>user\n{row['text']}<|end|>\n<|start|>assistant\n"
    assert "".join(first["tokens"]) == f"{prompt}billing<|end|>"
    trained = "".join(t for t, w in zip(first["tokens"], first["weights"], strict=True) if w)
    assert trained == "billing<|end|>"
    assert len(first["ids"]) == len(first["tokens"]) == len(first["weights"])
    assert f"line 2: {len(first['ids'])} tokens, 8 trained" in called.said


def test_preview_marks_what_is_trained_where_there_is_no_colour(files: Path, model: Path) -> None:
    called = done("data", "preview", files / "labels.csv", "-m", model, "-n", "1")
    assert "[[billing<|end|>]]" in called.out


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("adapters", {"lora", "full"}),
        ("objectives", {"sft"}),
        ("metrics", {"exact_match", "accuracy", "macro_f1", "token_f1", "rougeL", "json_field_f1", "json_validity"}),
        ("strategies", {"zero_shot"}),
        ("formats", {"csv", "json", "jsonl", "parquet"}),
        ("cleaning", {"exact_duplicates", "near_duplicates", "length", "repetition", "language", "personal_data"}),
        ("baselines", {"most_frequent", "tfidf"}),
        ("models", {"smollm2-135m-instruct", "gemma-3-270m"}),
    ],
)
def test_list_shows_a_table_with_a_line_about_each(what: str, names: set[str]) -> None:
    entries = done("list", what, "--json").json
    assert names <= {entry["name"] for entry in entries}
    assert all(all(isinstance(value, str) and value for value in entry.values()) for entry in entries)
    shown = done("list", what)
    assert shown.err == ""
    assert all(name in shown.out for name in names)


def test_list_of_nothing_known_names_the_nearest() -> None:
    assert "Unknown list 'metric'." in refused("list", "metric")
    assert "Did you mean 'metrics'?" in refused("list", "metric")


def test_env_is_for_bug_reports() -> None:
    found = done("env", "--json").json
    assert {"luthier", "torch", "transformers", "python", "platform", "cores", "device", "bf16", "cache"} <= set(found)
    shown = done("env")
    assert found["torch"] in shown.out
