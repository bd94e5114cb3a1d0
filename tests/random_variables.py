"""Variables of a network without its own initialisation, which takes long to compile."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np

from covseg.models import shapes_of


def random_variables(module: nn.Module) -> dict[str, Any]:
  """Kernels as He et al. draw them, batch statistics and scales around 1, the rest around 0."""
  rng = np.random.default_rng(0)

  def draw(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    if path[-1].key in ("scale", "var"):
      array = rng.uniform(0.7, 1.3, leaf.shape)
    else:
      std = np.sqrt(2 / np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.1
      array = rng.normal(0, std, leaf.shape)
    return array.astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes_of(module))
