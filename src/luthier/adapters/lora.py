"""LoRA: low-rank updates of linear layers.

Paper: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685, equation 3:
`h = W x + (alpha / r) B A x`, A random, B zero at the start, W frozen.
Differences: all linear layers by default (the paper adapts queries and values), which at equal parameters is the better
use of them; rank-stabilised scaling, DoRA and other variants pass through PEFT's config.
When to use it: nearly always first; a few hundred examples suffice for format and style. When not: much new knowledge.
Cost: the frozen forward, a little over half of full tuning's backward, and a file of megabytes.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from luthier.core.config import Config
from luthier.core.errors import CompatibilityError, ConfigError, GuardError
from luthier.core.files import read_json, write_json
from luthier.models.arithmetic.low_rank import LowRankUpdate
from luthier.models.device import random_apart
from luthier.models.loaded import LoadedModel
from luthier.models.probe import probe, require_same_answer
from luthier.models.weights import ADAPTER_RECORD, saving_weights


class LoraConfig(Config):
    """LoRA's settings; `peft` passes anything else through to PEFT's own config."""

    method: str = "lora"
    rank: int = Field(16, ge=1, le=1024, description="rank r of the update; 4-32 is usual, above 16 gains are small")
    alpha: float | None = Field(None, gt=0, description="scale is alpha / rank; by default twice the rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the input of A while training")
    target_modules: str | list[str] = Field("all-linear", description="names of linear layers, or all-linear")
    peft: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of peft.LoraConfig, e.g. {use_dora: true}"
    )


class Lora:
    """LoRA as a method: what it needs, its defaults, how it is attached."""

    name = "lora"
    needs = frozenset({"causal"})
    default_learning_rate = 1e-3
    Config = LoraConfig
    masters = False

    def __init__(self, config: LoraConfig = LoraConfig()) -> None:
        self.config = config.model_copy(update={"alpha": config.alpha or 2.0 * config.rank})

    def attach(self, model: LoadedModel, name: str = "default", seed: int = 0) -> AttachedLora:
        """Put fresh low-rank layers on a model (changed in place).

        Raises:
            ConfigError: if PEFT does not know an argument.
            CompatibilityError: if no layer has one of the target names.
        """
        import peft

        config = self.config
        try:
            settings = peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,  # type: ignore[arg-type]  # PEFT divides by the rank, fractions are fine
                lora_dropout=config.dropout,
                target_modules=config.target_modules,
                task_type="CAUSAL_LM",
                **config.peft,
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"adapter.peft: PEFT's LoraConfig refuses this: {error}") from None
        with random_apart(model.device):
            torch.manual_seed(seed)
            try:
                wrapper = peft.get_peft_model(model.module, settings, adapter_name=name)
            except ValueError as error:
                raise CompatibilityError(f"{_targets(model, config)} ({str(error).splitlines()[0]})") from None
        return AttachedLora(model, wrapper, name)

    @staticmethod
    def open(folder: Path, model: LoadedModel, name: str = "default") -> AttachedLora:
        """Load a saved adapter onto its base."""
        return AttachedLora.open(folder, model, name)


def _targets(model: LoadedModel, config: LoraConfig) -> str:
    linear = sorted({n.rpartition(".")[2] for n, m in model.module.named_modules() if isinstance(m, nn.Linear)})
    return (
        f"adapter.target_modules {config.target_modules!r} fits no layer of {model.facts.name}. "
        f"Linear layers: {', '.join(linear)}."
    )


class AttachedLora:
    """LoRA on a model, under a name."""

    def __init__(self, model: LoadedModel, wrapper: Any, name: str) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        from luthier.adapters.low_rank import use_own_arithmetic

        self.name = name
        self._model = model
        self._wrapper = wrapper
        tuned: list[Any] = [module for module in model.module.modules() if isinstance(module, BaseTunerLayer)]
        self._layers = [layer for layer in tuned if name in getattr(layer, "lora_A", {})]
        self._alone = all(set(getattr(layer, "lora_A", {})) <= {name} for layer in tuned)
        for layer in self._layers:
            # Autocast brings A and B to the compute precision; PEFT's own cast would bring every input to fp32 first
            # and keep both copies for the backward.
            layer.cast_input_dtype_enabled = False
        use_own_arithmetic(self._layers)
        self._find_output_layer()

    @classmethod
    def open(cls, folder: Path, model: LoadedModel, name: str = "default") -> AttachedLora:
        """Load a saved adapter onto its base; keys and shapes must match exactly.

        Raises:
            CompatibilityError: naming missing and surplus tensors, or what else does not fit.
            GuardError: if the model does not say with it what it said when it was saved.
        """
        import peft
        from peft.utils.save_and_load import get_peft_model_state_dict
        from safetensors import safe_open

        try:
            wrapper = peft.PeftModel.from_pretrained(
                model.module, folder, adapter_name=name, use_safetensors=True, torch_device=str(model.device)
            )
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise CompatibilityError(
                f"The adapter {folder} does not fit {model.facts.name}: it was made for another base. ({reason})"
            ) from None
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            stored = set(file.keys())
        needed = set(get_peft_model_state_dict(wrapper, adapter_name=name, save_embedding_layers=False))
        if stored != needed:
            raise CompatibilityError(
                f"The adapter {folder} does not fit {model.facts.name}: missing {sorted(needed - stored)[:3]}, surplus "
                f"{sorted(stored - needed)[:3]}. It was made for another base."
            )
        attached = cls(model, wrapper, name)
        if attached._alone and (folder / ADAPTER_RECORD).exists():
            attached.set_active(True)
            require_same_answer(model, read_json(folder / ADAPTER_RECORD), folder)
        return attached

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return A and B of every layer, fp32 also on a bf16 base."""
        marker = f".{self.name}."
        return {n: p for n, p in self._model.module.named_parameters() if "lora_" in n and marker in f"{n}."}

    def set_active(self, on: bool) -> None:
        """Switch on or off by the layers' own flags: PEFT's `set_adapter` would also flip what is trainable."""
        for layer in self._layers:
            if on:
                layer._active_adapter = [self.name]
                layer._disable_adapters = False
            elif self.name in layer.active_adapters:
                layer._disable_adapters = True

    def after_update(self, step: int) -> None:
        """Nothing to do for LoRA."""

    def low_rank_updates(self) -> dict[str, LowRankUpdate] | None:
        """Return each layer's update; None where a layer computes more than a plain one (DoRA, trained embeddings)."""
        from luthier.adapters.low_rank import plain_update

        layers, found = set(self._layers), dict[str, LowRankUpdate]()
        for name, module in self._model.module.named_modules():
            if module in layers:
                update = plain_update(module, self.name)
                if update is None:
                    return None
                found[name] = update
        return found

    def merge(self) -> Any:
        """Add the update to the base weights and return the plain transformers model (changed in place)."""
        merged = self._wrapper.merge_and_unload(safe_merge=True, adapter_names=[self.name])
        self._find_output_layer()
        return merged

    def _find_output_layer(self) -> None:
        """Point at the model's output layer as it is now: it is another module while it carries an update."""
        self._model.output = replace(self._model.output, linear=self._model.module.get_output_embeddings())

    def save(self, folder: Path) -> None:
        """Write PEFT's files, and beside them which base and template it was trained on."""
        source = self._model.facts
        config = self._wrapper.peft_config[self.name]
        config.base_model_name_or_path = str(source.folder or source.name)
        config.target_modules = sorted(config.target_modules)  # a set has another order in each process
        with warnings.catch_warnings(), saving_weights(folder):
            warnings.simplefilter("ignore")
            self._wrapper.save_pretrained(
                folder, selected_adapters=[self.name], safe_serialization=True, save_embedding_layers=False
            )
        nested = folder / self.name  # PEFT's place for every name but "default"
        for file in nested.iterdir() if nested.is_dir() else ():
            os.replace(file, folder / file.name)
        if nested.is_dir():
            nested.rmdir()
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card; the run writes its own
        record: dict[str, Any] = {
            "base": source.name,
            "base_digest": self._model.digest,
            "template_digest": self._model.template_digest,
            "tokens_digest": self._model.tokens_digest,
            "precision": self._model.precision,
        }
        if self._alone:
            self.set_active(True)
            record["probe"] = probe(self._model, exact=True)
        write_json(folder / ADAPTER_RECORD, record)
        self._check_saved(folder)

    def _check_saved(self, folder: Path) -> None:
        """Read the file back: every tensor must be there, bit for bit."""
        from peft.utils.save_and_load import get_peft_model_state_dict
        from safetensors.torch import load_file

        stored = load_file(folder / "adapter_model.safetensors")
        held = get_peft_model_state_dict(self._wrapper, adapter_name=self.name, save_embedding_layers=False)
        differing = [n for n, tensor in held.items() if n not in stored or not torch.equal(stored[n], tensor.cpu())]
        if differing or len(stored) != len(held):
            raise GuardError(
                f"The adapter in {folder} is not what was trained ({len(differing)} tensors differ). Is the disk full?"
            )
