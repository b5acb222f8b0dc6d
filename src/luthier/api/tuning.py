"""Models: loading, tuning and merging them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.api.running import data_section, require_run_or_file, start
from luthier.core.config import lines_left, with_overrides
from luthier.core.errors import ConfigError, RunError
from luthier.core.listener import Listener
from luthier.core.recipe_text import RecipeText, load_recipe
from luthier.core.run import RunDirectory
from luthier.core.sealed import SEAL
from luthier.core.stages import config_class
from luthier.handle import Run

if TYPE_CHECKING:
    from luthier.generation.local import LocalModel


def load(
    model: str | Path, *, precision: str = "auto", device: str = "auto", listener: Listener | None = None
) -> LocalModel:
    """Load a model, adapter or run, ready to complete requests.

    Args:
        model: A hub name, local folder, PEFT folder, run directory or built-in name.
        precision: fp32, bf16, or auto.
        device: cpu, cuda, mps, or auto.
        listener: Told of downloads.
    """
    from luthier.evaluation.opening import reading_weights
    from luthier.generation.local import open_local
    from luthier.models.source import find_model

    require_run_or_file(model)
    source = find_model(str(model), listener)
    with reading_weights(source):
        return open_local(source, precision=precision, device=device)


def tune(
    what: str | Path,
    overrides: Sequence[str] = (),
    *,
    model: str | None = None,
    read: dict[str, Any] | None = None,
    kind: str | None = None,
    **running: Any,
) -> Run:
    """Tune a model: one adaptation by training, with the proof of what it did.

    Args:
        what: A data file or folder, or a recipe (`.yaml`). With the override "objective=causal_lm" a corpus: a text, a
            table of texts, or a folder of these.
        overrides: Changes of the recipe, such as "training.learning_rate=1e-4".
        model: The model; the built-in one by default.
        read: How to read the file (see `luthier.data.options`).
        kind: Kind of task; guessed if left out.
        running: run, overwrite, listener, stop (see `start`).
    """
    path = Path(what)
    is_recipe = path.suffix in (".yaml", ".yml")
    text = load_recipe(path) if is_recipe else RecipeText({"data": data_section(what, read, kind, 0)}, {})
    values = text.values
    if is_recipe and (read or kind):
        raise ConfigError(
            "A recipe says itself how its data is read; change it with overrides such as data.read.prompt=…."
        )
    if model is not None:
        values |= {"model": model}
    changed = with_overrides(values, overrides)
    if is_recipe:
        recipe = config_class("tune").parse(changed, str(path), lines_left(text.lines, overrides))
    else:
        recipe = config_class("tune").parse(changed, "tune")
    return start("tune", recipe, **running)


def merge(run: str | Path, folder: str | Path | None = None) -> Path:
    """Merge a run's adapter into its base and write a plain model; returns its folder.

    Raises:
        RunError: if the run has no adapter, or the folder exists.
    """
    from luthier.evaluation.opening import reading_weights, winner_of
    from luthier.generation.merging import merge_adapter
    from luthier.models.source import find_model

    require_run_or_file(run)
    directory = winner_of(RunDirectory.open(Path(run)))
    directory = directory.named_run(str(directory.recipe.get("model"))) or directory
    if not (directory.path / "adapter").exists():
        raise RunError(f"{directory.path} has no adapter to merge.")
    target = Path(folder) if folder else directory.path / "merged"
    with reading_weights(find_model(str(directory.path / "adapter"))):
        merged = merge_adapter(directory.path / "adapter", target)
    if merged.parent == directory.path:
        directory.files.record(f"{merged.name}/{SEAL}", (merged / SEAL).read_bytes())
    return merged
