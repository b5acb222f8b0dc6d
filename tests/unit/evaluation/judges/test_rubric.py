"""Rubrics: what a file may say, and what is said of a file that says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.core.errors import ConfigError
from luthier.evaluation.judges.rubric import Rubric, Scale, read_rubric


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_and_markdown_say_the_same(tmp_path: Path) -> None:
    in_yaml = written(
        tmp_path,
        "r.yaml",
        "instructions: Be strict.\nties: false\nscale: {lowest: 0, highest: 3, anchors: {0: useless}}\n"
        "criteria:\n- {name: tone, description: It is polite.}\n- {name: length}\n",
    )
    in_markdown = written(
        tmp_path,
        "r.md",
        "---\nties: false\nscale: {lowest: 0, highest: 3, anchors: {0: useless}}\n---\n# Ours\n\nBe strict.\n\n"
        "## tone\n\nIt is\npolite.\n\n## length\n",
    )
    rubric = read_rubric(in_yaml)
    assert read_rubric(in_markdown) == rubric
    assert [(c.name, c.description) for c in rubric.criteria] == [("tone", "It is polite."), ("length", "")]
    assert rubric.instructions == "Be strict."
    assert rubric.scale.labels == ("0", "1", "2", "3")
    assert rubric.scale.share(1.5) == 0.5
    assert rubric.digest() != Rubric().digest()


def test_what_a_markdown_rubric_leaves_out_is_ours(tmp_path: Path) -> None:
    only_criteria = read_rubric(written(tmp_path, "r.md", "## tone\nIt is polite.\n"))
    assert only_criteria.instructions == Rubric().instructions
    assert only_criteria.scale == Scale()
    assert read_rubric(written(tmp_path, "s.md", "Be strict.")).criteria == Rubric().criteria


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale: {highest: 10}", r"scale.highest: .*less than or equal to 9"),
        ("scale: {lowest: 5, highest: 5}", "the lowest grade must be below the highest; received 5 and 5"),
        ("scale: {anchors: {7: splendid}}", r"anchors are for grades from 1 to 5; received \[7\]"),
        ("criteria: [{name: tone}, {name: tone}]", "two criteria are called 'tone'"),
        ("criteria: []", "criteria: "),
        ("criterion: []", "unknown key. Known here: instructions, criteria.*Did you mean 'criteria'"),
    ],
)
def test_a_wrong_rubric_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_rubric(written(tmp_path, "r.yaml", text))


def test_a_file_that_is_no_rubric_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"YAML \(.yaml, .yml\) or Markdown \(.md\); received .*r.txt"):
        read_rubric(tmp_path / "r.txt")
    with pytest.raises(ConfigError, match="Cannot read the rubric"):
        read_rubric(tmp_path / "none.md")
    with pytest.raises(ConfigError, match="must hold keys and values between its lines"):
        read_rubric(written(tmp_path, "list.md", "---\n- a\n---\n"))
