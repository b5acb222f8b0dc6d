"""From what a person writes (built-in or hub name, folder, PEFT folder, run directory) to a folder with weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.core.errors import GuardError, ModelError, nearest
from luthier.core.files import cache_folder, read_json, sha256_file, sha256_text, write_json
from luthier.core.listener import Listener, SilentListener
from luthier.core.run import RunDirectory
from luthier.models.facts import ModelFacts

DEFAULT_MODEL = "smollm2-135m-instruct"
ADAPTER_RECORD = "luthier.json"
"""Beside an adapter: the base it was trained on, the base's digest, the chat template's digest."""

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
        return ModelSource(spec, str(path), path)
    if spec in BUILTIN:
        return ModelSource(spec, spec, builtin_folder(spec, listener or SilentListener()))
    if path.exists():
        raise ModelError(
            f"{spec} holds no model: a model folder has config.json, an adapter folder adapter_config.json, "
            "a run directory manifest.json."
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
    if (run.path / "adapter" / "adapter_config.json").is_file():
        return _from_adapter(spec, run.path / "adapter", listener)
    if (run.path / "model" / "config.json").is_file():
        return ModelSource(spec, str(run.path / "model"), run.path / "model")
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


def _from_adapter(spec: str, folder: Path, listener: Listener | None) -> ModelSource:
    record = folder / ADAPTER_RECORD
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


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder.

    Raises:
        ModelError: if there are none, naming a pickle if that is what is there.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(p.name for p in folder.glob("*.bin")) + sorted(p.name for p in folder.glob("*.pt"))
        found = (
            f"only pickled weights ({pickles[0]}), which are refused because loading them runs code"
            if pickles
            else "no weights"
        )
        raise ModelError(f"{folder} holds {found}. Save the model as safetensors: model.save_pretrained(folder).")
    for file in files:
        _check_whole(file)
    return files


def _check_whole(file: Path) -> None:
    """Refuse what only looks like a weight file: a Git-LFS pointer, an HTML page, a partial download."""
    size = file.stat().st_size
    with open(file, "rb") as handle:
        head = handle.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(f"{file} is a Git-LFS pointer of {size} bytes, not the weights. Fetch them: git lfs pull.")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ModelError(
            f"{file} is an HTML page of {size} bytes, not weights: the download got an error page. Fetch it again."
        )
    if size != _size_by_header(file, size):
        raise ModelError(f"{file} is broken ({size} bytes): probably a partial download. Fetch it again.")


def _size_by_header(file: Path, size: int) -> int:
    """Return the size that a safetensors file says it has: the header's length, the header, the tensors; -1 if none."""
    with open(file, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length + 8 > size:
            return -1
        try:
            header = json.loads(handle.read(length))
            return 8 + length + max((t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"))
        except (ValueError, TypeError, KeyError):
            return -1


def weights_digest(folder: Path) -> str:
    """Return a SHA-256 over a folder's weights and config; digests of unchanged files are remembered."""
    return sha256_text(
        *(f"{file.name}:{_remembered_digest(file)}" for file in [*weight_files(folder), folder / "config.json"])
    )


def _remembered_digest(file: Path) -> str:
    stat = file.stat()
    key = sha256_text(str(file.resolve()), str(stat.st_size), str(stat.st_mtime_ns))[:32]
    record = cache_folder() / "digests" / key
    try:
        return str(read_json(record))
    except (OSError, ValueError):
        digest = sha256_file(file)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, digest)
    except OSError:  # a read-only cache folder costs a second next time, nothing else
        pass
    return digest


def check_adapter_base(adapter: Path, digest: str, template_digest: str, tokens_digest: str) -> None:
    """Refuse an adapter on a base it was not trained on, under another chat template, or with another tokenizer.

    Raises:
        GuardError: with both digests.
    """
    record = adapter / ADAPTER_RECORD
    if not record.exists():
        return
    wanted = read_json(record)
    if wanted["base_digest"] != digest:
        raise GuardError(
            f"The adapter {adapter} was trained on a base with digest {wanted['base_digest'][:12]}, but "
            f"'{wanted['base']}' here has "
            f"{digest[:12]}: its weights are not the same. Use the base it was trained on."
        )
    if wanted["template_digest"] != template_digest:
        raise GuardError(
            f"The adapter {adapter} was trained with another chat template (digest "
            f"{wanted['template_digest'][:12]}, here "
            f"{template_digest[:12]}). A model asked in another form than it was taught answers badly; restore the "
            "template."
        )
    if wanted.get("tokens_digest", tokens_digest) != tokens_digest:  # adapters of earlier versions do not say
        raise GuardError(
            f"The adapter {adapter} was trained with another tokenizer: the same texts now become other tokens (digest "
            f"{wanted['tokens_digest'][:12]}, here {tokens_digest[:12]}). Put back the tokenizer files of "
            f"'{wanted['base']}'."
        )
