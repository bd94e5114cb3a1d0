"""Attention U-Net (Oktay et al. 2018, https://arxiv.org/abs/1804.03999)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from covseg.models import blocks, heads

_NUM_LEVELS = 4


class AttentionUNet(nn.Module):
  """U-Net whose skips are weighted by what the level below saw; 8.3 M parameters at 32 base features.

  The first skip has no gate: its features are too simple to be told apart (section 2.3 of the paper).

  Attributes:
    base_features: channels of the first level; each level below has twice as many.
    heads: names in `heads.HEADS`, "infection" first.
    dtype: type of the computation, float32 or bfloat16; logits and parameters are float32.
  """

  base_features: int
  heads: tuple[str, ...]
  dtype: str

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Logits of images (B, H, W, 1) in [0, 1], of any H and W, as `heads.Heads` returns them."""
    _, h, w, _ = images.shape
    x = blocks.pad_to_multiple(images.astype(self.dtype), 2**_NUM_LEVELS)
    skips = []
    for level in range(_NUM_LEVELS):
      x = blocks.DoubleConv(self.base_features * 2**level)(x, train)
      skips.append(x)
      x = blocks.max_pool(x)
    x = deepest = blocks.DoubleConv(self.base_features * 2**_NUM_LEVELS)(x, train)
    for level in reversed(range(_NUM_LEVELS)):
      skip = AttentionGate(name=f"gate_{level}")(skips[level], x) if level else skips[level]
      x = blocks.UpConv(skip.shape[-1])(x)
      x = blocks.DoubleConv(skip.shape[-1])(jnp.concatenate([skip, x], axis=-1), train)
    outputs = heads.Heads(self.heads, name="heads")(x, [deepest])
    return jax.tree.map(lambda logits: logits[:, :h, :w], outputs)


class AttentionGate(nn.Module):
  """A skip (B, 2H, 2W, C) times attention in [0, 1], from a gating signal (B, H, W, G) of its own grid.

  Equations 1 and 2 of the paper: additive attention, computed at the resolution of the gating signal.
  """

  @nn.compact
  def __call__(self, skip: jax.Array, gating: jax.Array) -> jax.Array:
    features = skip.shape[-1]
    x = nn.Conv(features, (2, 2), strides=2, use_bias=False, dtype=skip.dtype, name="skip")(skip)
    x = nn.relu(x + nn.Dense(features, dtype=skip.dtype, name="gating")(gating))
    attention = nn.sigmoid(nn.Dense(1, dtype=skip.dtype, name="weights")(x))
    return skip * blocks.resize(attention, skip.shape[1:3])
