"""Recipes: all mistakes at once, each with the nearest valid key; overrides; files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from luthier.core.config import Config, load_yaml, with_overrides
from luthier.core.errors import ConfigError


class Rates(Config):
    learning_rate: float | None = Field(None, gt=0)
    epochs: int = 3


class Recipe(Config):
    name: str
    training: Rates = Rates()
    adapter: dict[str, Any] = Field(default_factory=dict)
    further: Rates | None = None


def test_all_mistakes_are_reported_at_once_with_the_nearest_key() -> None:
    wrong = {"training": {"learning_rat": 1.0, "epochs": "many", "learning_rate": -1}, "nam": "x"}
    with pytest.raises(ConfigError) as error:
        Recipe.parse(wrong, "tune.yaml")
    lines = str(error.value).splitlines()
    assert lines[0] == "tune.yaml has 5 mistake(s):"
    text = "\n".join(lines[1:])
    assert "name: Field required" in text
    assert "nam: unknown key. Known here: name, training, adapter, further. Did you mean 'name'?" in text
    assert (
        "training.learning_rat: unknown key. Known here: learning_rate, epochs. Did you mean 'learning_rate'?" in text
    )
    assert "training.epochs: Input should be a valid integer" in text
    assert "received 'many'" in text
    assert "training.learning_rate: Input should be greater than 0 (received -1)" in text


def test_keys_of_an_optional_section_are_found_too() -> None:
    with pytest.raises(ConfigError, match=r"further.epoch: unknown key.*Did you mean 'epochs'"):
        Recipe.parse({"name": "x", "further": {"epoch": 1}})


def test_a_recipe_cannot_be_changed() -> None:
    recipe = Recipe.parse({"name": "x"})
    with pytest.raises(ValidationError):
        recipe.name = "y"  # type: ignore[misc]


def test_overrides_are_read_as_yaml_and_leave_the_original_alone() -> None:
    values = {"name": "x", "training": {"epochs": 1}}
    changed = with_overrides(
        values,
        [
            "training.learning_rate=1e-4",
            "training.epochs=5",
            "adapter.target_modules=[q_proj, v_proj]",
            "adapter.on=true",
        ],
    )
    recipe = Recipe.parse(changed)
    assert recipe.training == Rates(learning_rate=1e-4, epochs=5)
    assert recipe.adapter == {"target_modules": ["q_proj", "v_proj"], "on": True}
    assert values == {"name": "x", "training": {"epochs": 1}}
    assert Recipe.parse(with_overrides(values, ["training.learning_rate=null"])).training.learning_rate is None
    assert Recipe.parse(with_overrides(values, ["name=a=b"])).name == "a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "is not an override. Write section.key=value"),
        ("=3", "is not an override"),
        ("name.deep=3", "'name' is a value, not a section"),
    ],
)
def test_what_is_no_override(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_overrides({"name": "x"}, [override])


def test_a_saved_recipe_holds_its_defaults_and_comes_back(tmp_path: Path) -> None:
    recipe = Recipe.parse({"name": "Grüße", "training": {"learning_rate": 1e-4}})
    recipe.save(tmp_path / "recipe.yaml")
    values = load_yaml(tmp_path / "recipe.yaml")
    assert values["training"] == {"learning_rate": 1e-4, "epochs": 3}
    again = Recipe.parse(values)
    assert again == recipe
    assert again.digest() == recipe.digest()
    assert Recipe.parse(values | {"name": "other"}).digest() != recipe.digest()


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the recipe .*absent.yaml"):
        load_yaml(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError, match="must hold keys and values at its top, found list"):
        load_yaml(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1,\n")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_yaml(tmp_path / "broken.yaml")
