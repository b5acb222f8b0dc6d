"""Opening a model that was opened before without importing transformers, whose imports alone take three seconds.

What opening it through transformers has found out is kept in the cache folder: the config with its defaults, the
tokenizer, the output layer, which weights an adapter adds, and what the model says to sixteen tokens. Only a model
whose own decoder was seen to compute the same is kept, and when it is opened it must say the same again.
"""

from luthier.generation.quick.keeping import keep
from luthier.generation.quick.opening import QuickModel, open_quickly

__all__ = ["QuickModel", "keep", "open_quickly"]
