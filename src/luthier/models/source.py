"""From what a person writes (built-in or hub name, folder, PEFT folder, run directory) to a folder with weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.core.errors import ModelError, nearest
from luthier.core.files import read_json
from luthier.core.listener import Listener, SilentListener
from luthier.core.run import RunDirectory
from luthier.core.sealed import SEAL, require_sealed
from luthier.models.facts import ModelFacts
from luthier.models.weights import ADAPTER_RECORD, require_whole

DEFAULT_MODEL = "smollm2-135m-instruct"
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        spec: What the user wrote.
        base: The name or folder of the model below a possible adapter; what a new run should record as its model.
        folder: The folder with config, weights and tokenizer.
        adapter: The PEFT folder to put on top, or None.
    """

    spec: str
    base: str
    folder: Path
    adapter: Path | None = None

    def facts(self) -> ModelFacts:
        """Read the model's facts from its config alone."""
        return ModelFacts.of(self.base, self.folder, read_config(self.folder))


def find_model(spec: str, listener: Listener | None = None) -> ModelSource:
    """Find a model by what a person writes; built-in and hub models are fetched if they are not here yet.

    Raises:
        ModelError: if nothing by this name can be had; the text says what was tried.
    """
    from luthier.models.builtin import BUILTIN, builtin_folder

    path = Path(spec).expanduser()
    if RunDirectory.is_run(path):
        return _from_run(spec, RunDirectory(path), listener)
    if (path / "adapter_config.json").is_file():
        return _from_adapter(spec, path, listener)
    if (path / "config.json").is_file():
        return _plain(spec, path)
    if spec in BUILTIN:
        return ModelSource(spec, spec, builtin_folder(spec, listener or SilentListener()))
    if path.exists():
        raise ModelError(
            f"{spec or 'An empty name'} holds no model: a model folder has config.json, an adapter folder "
            "adapter_config.json, a run directory manifest.json. Give one of these, or a name: luthier list models."
        )
    if "/" not in spec or spec.startswith((".", "/", "~")):
        raise ModelError(
            f"No model '{spec}': not a folder, not a built-in model ({', '.join(BUILTIN)}), and hub names look like "
            f"owner/name.{nearest(spec, BUILTIN)} See: luthier list models."
        )
    return ModelSource(spec, spec, _from_hub(spec))


def _from_run(spec: str, run: RunDirectory, listener: Listener | None) -> ModelSource:
    chosen = run.manifest.get("chosen")
    if chosen and RunDirectory.is_run(run.path / chosen):
        return _from_run(spec, RunDirectory(run.path / chosen), listener)
    if (run.path / "adapter").is_dir():
        return _from_adapter(spec, run.path / "adapter", listener)
    if (run.path / "model").is_dir():
        return _plain(spec, run.path / "model")
    base = run.recipe.get("model")
    if isinstance(base, str) and run.manifest["stage"] == "prompt":
        named = run.named_run(base)
        return _from_run(spec, named, listener) if named else find_model(base, listener)
    if run.manifest.get("forgotten_bytes"):
        raise ModelError(
            f"The weights of {run.path} were removed when another candidate had won. Adapt again with "
            "--keep all to keep those of all candidates."
        )
    raise ModelError(
        f"The run {run.path} holds no trained model (stage {run.manifest['stage']}, status {run.status}). "
        f"Finish it with: luthier resume {run.path}."
    )


def _plain(spec: str, folder: Path) -> ModelSource:
    """Return a folder with a model; the weights of one that Luthier saved are looked at when they are loaded."""
    require_saved(folder, weights=False)
    return ModelSource(spec, str(folder), folder)


def require_saved(folder: Path, *, weights: bool = True) -> None:
    """Refuse a folder of weights that a run saved, if it is not what was saved.

    Raises:
        ModelError: naming the file that is broken.
        RunError: if the folder's manifest is gone, or of another run.
    """
    name, run = f"{folder.name}/{SEAL}", RunDirectory(folder.parent)
    recorded = RunDirectory.is_run(folder.parent) and run.files.knows(name)
    if recorded:
        run.files.read(name)
    require_sealed(folder, weights=weights, must=recorded)


def _from_adapter(spec: str, folder: Path, listener: Listener | None) -> ModelSource:
    require_saved(folder)
    record, weights = folder / ADAPTER_RECORD, folder / "adapter_model.safetensors"
    if weights.exists():
        require_whole(weights)
    base = (
        read_json(record)["base"]
        if record.exists()
        else read_json(folder / "adapter_config.json")["base_model_name_or_path"]
    )
    if not base:
        raise ModelError(f"{folder}/adapter_config.json does not name its base model (base_model_name_or_path).")
    below = find_model(base, listener)
    return ModelSource(spec, below.base, below.folder, folder)


def _from_hub(name: str) -> Path:
    """Fetch a snapshot, safetensors only."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise _hub_problem(name, error) from None
    if not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"{name} has no safetensors weights; pickled weights are refused. Convert them, or choose another model."
        )
    return folder


def _hub_problem(name: str, error: Exception) -> ModelError:
    """Say what to do about a model that the hub did not give: gated, refused, unknown, or out of reach."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    refusal = error if hasattr(error, "response") else error.__cause__  # the client wraps what it does not know
    status = getattr(getattr(refusal, "response", None), "status_code", None)
    if isinstance(refusal, GatedRepoError):
        return ModelError(
            f"{name} is gated: accept its terms on {constants.ENDPOINT}/{name}, then log in with: hf auth login (or "
            "set HF_TOKEN to a token of that account). Access that has to be granted by its owners can take a while."
        )
    if isinstance(refusal, RepositoryNotFoundError):
        return ModelError(f"No model '{name}' on the hub (or it is private: hf auth login). See: luthier list models.")
    if status in (401, 403):
        return ModelError(
            f"The hub refused '{name}' ({status}): the token used here may not read it. Log in again with: hf auth "
            "login, or set HF_TOKEN to a token that may (a fine-grained one needs access to public gated repositories)."
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ModelError(
        f"Cannot fetch '{name}': the hub cannot be reached from here ({reason[:160]}). Use a built-in model "
        f"(--model {DEFAULT_MODEL}) or a local folder (--model path/to/folder)."
    )


def read_config(folder: Path) -> Any:
    """Read a transformers config; code that comes with a model is not run."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"Cannot read the model in {folder}: {str(error).splitlines()[0]}") from None
