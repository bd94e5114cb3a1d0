"""U-Net as first published (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from covseg.models import blocks, heads

_NUM_LEVELS = 4


class UNetBaseline(nn.Module):
  """U-Net without batch norm; 31.0 M parameters at 64 base features.

  It differs from the paper's in padding, so that the logits have the size of the image.

  Attributes:
    base_features: channels of the first level; each level below has twice as many.
    dropout: share of the values dropped in training at the end of the contracting path: after its
      last two levels, as in the authors' Caffe model.
    heads: names in `heads.HEADS`, "infection" first.
    dtype: type of the computation, float32 or bfloat16; logits and parameters are float32.
  """

  base_features: int
  dropout: float
  heads: tuple[str, ...]
  dtype: str

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Logits of images (B, H, W, 1) in [0, 1], of any H and W, as `heads.Heads` returns them."""
    _, h, w, _ = images.shape
    x = blocks.pad_to_multiple(images.astype(self.dtype), 2**_NUM_LEVELS)
    skips = []
    for level in range(_NUM_LEVELS + 1):
      x = _DoubleConv(self.base_features * 2**level)(x)
      if level >= _NUM_LEVELS - 1:
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
      if level < _NUM_LEVELS:
        skips.append(x)
        x = blocks.max_pool(x)
    deepest = x
    for skip in reversed(skips):
      x = blocks.UpConv(skip.shape[-1])(x)
      x = _DoubleConv(skip.shape[-1])(jnp.concatenate([skip, x], axis=-1))
    outputs = heads.Heads(self.heads, name="heads")(x, [deepest])
    return jax.tree.map(lambda logits: logits[:, :h, :w], outputs)


class _DoubleConv(nn.Module):
  """Twice a 3x3 convolution with bias and ReLU."""

  features: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for i in range(2):
      bias = self.param(f"bias_{i}", nn.initializers.zeros, (self.features,))
      x = nn.relu(blocks.Conv3x3(self.features)(x) + bias.astype(x.dtype))
    return x
