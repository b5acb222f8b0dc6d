"""Settings of the training loop."""

from __future__ import annotations

from pydantic import Field

from luthier.core.config import Config
from luthier.training.optim import OptimizerConfig, ScheduleName


class TrainingConfig(Config):
    """How long and how fast."""

    epochs: float = Field(3.0, gt=0, description="passes over the rows to learn from; 2 to 4 is usual")
    learning_rate: float | None = Field(
        None, gt=0, description="peak learning rate; by default the adapter method's own"
    )
    schedule: ScheduleName = Field("cosine", description="shape after the warm-up: constant, linear or cosine to zero")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of the steps over which the rate rises")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null does not clip")
    recompute: bool = Field(False, description="gradient checkpointing: less memory, about a third more time")
    validations: int = Field(4, ge=0, description="how often the loss on `choose` is measured, spread over the run")
    patience: int | None = Field(None, ge=1, description="stop after so many validations without improvement")
    keep_best: bool = Field(True, description="end with the weights of the best validation")
    checkpoint_every: int = Field(20, ge=1, description="steps between checkpoints; one is also written at a stop")
    optimizer: OptimizerConfig = OptimizerConfig()

    def validates_at(self, step: int, total: int) -> bool:
        """Whether `choose` is looked at after this step: evenly spread, the last step included."""
        if not self.validations:
            return False
        return any(step == max(1, round(total * (k + 1) / self.validations)) for k in range(self.validations))
