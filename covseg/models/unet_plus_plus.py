"""U-Net++ (Zhou et al. 2020, https://arxiv.org/abs/1912.05074), with batch norm."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from covseg.models import blocks, heads

_NUM_LEVELS = 4


class UNetPlusPlus(nn.Module):
  """U-Nets of one to four levels that share an encoder; 9.0 M parameters at 32 base features.

  Node X(level, column) sees all nodes to its left in its level, and the one below them; the nodes
  X(0, 1) to X(0, 4) each give full-resolution logits (figure 1 of the paper).

  Attributes:
    base_features: channels of the first level; each level below has twice as many.
    prune_to: at inference, 1 to 4 gives the logits of X(0, prune_to) and computes no node that they do
      not need; 0 gives the mean of all four. Parameters and training are the same for each.
    heads: names in `heads.HEADS`, "infection" first.
    dtype: type of the computation, float32 or bfloat16; logits and parameters are float32.
  """

  base_features: int
  prune_to: int
  heads: tuple[str, ...]
  dtype: str

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> dict[str, Any]:
    """Logits of images (B, H, W, 1) in [0, 1], of any H and W, as `heads.Heads` returns them.

    In training they are those of X(0, 4), and the key "auxiliary" holds the same of X(0, 1), X(0, 2)
    and X(0, 3), a tuple.
    """
    _, h, w, _ = images.shape
    whole = train or self.is_initializing() or not self.prune_to
    depth = _NUM_LEVELS if whole else self.prune_to
    nodes = {}
    x = blocks.pad_to_multiple(images.astype(self.dtype), 2**_NUM_LEVELS)
    for level in range(depth + 1):
      x = blocks.max_pool(x) if level else x
      x = nodes[level, 0] = self._node(level, 0)(x, train)
    for column in range(1, depth + 1):
      for level in range(depth + 1 - column):
        up = blocks.UpConv(self.base_features * 2**level, name=f"up_{level}_{column}")
        left = [nodes[level, i] for i in range(column)]
        x = jnp.concatenate([*left, up(nodes[level + 1, column - 1])], axis=-1)
        nodes[level, column] = self._node(level, column)(x, train)

    columns = range(1 if whole else depth, depth + 1)
    outputs = [heads.Heads(self.heads, name=f"heads_{i}")(nodes[0, i], [nodes[i, 0]]) for i in columns]
    outputs = jax.tree.map(lambda logits: logits[:, :h, :w], outputs)
    if train:
      return {**outputs[-1], "auxiliary": tuple(outputs[:-1])}
    return jax.tree.map(lambda *logits: sum(logits) / len(logits), *outputs)

  def _node(self, level: int, column: int) -> nn.Module:
    return blocks.DoubleConv(self.base_features * 2**level, name=f"node_{level}_{column}")
