"""U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597), with batch or group norm."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from covseg.models import blocks, heads

_NUM_LEVELS = 4


class UNet(nn.Module):
  """U-Net of four levels; 7.8 M parameters at 32 base features.

  Attributes:
    base_features: channels of the first level; each level below has twice as many.
    norm: "batch" or "group".
    heads: names in `heads.HEADS`, "infection" first.
    dtype: type of the computation, float32 or bfloat16; logits and parameters are float32.
  """

  base_features: int
  norm: str
  heads: tuple[str, ...]
  dtype: str

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Logits of images (B, H, W, 1) in [0, 1], of any H and W, as `heads.Heads` returns them."""
    _, h, w, _ = images.shape
    x = blocks.pad_to_multiple(images.astype(self.dtype), 2**_NUM_LEVELS)
    skips = []
    for level in range(_NUM_LEVELS):
      x = blocks.DoubleConv(self.base_features * 2**level, self.norm)(x, train)
      skips.append(x)
      x = blocks.max_pool(x)
    x = deepest = blocks.DoubleConv(self.base_features * 2**_NUM_LEVELS, self.norm)(x, train)
    for skip in reversed(skips):
      x = blocks.UpConv(skip.shape[-1])(x)
      x = blocks.DoubleConv(skip.shape[-1], self.norm)(jnp.concatenate([skip, x], axis=-1), train)
    outputs = heads.Heads(self.heads, name="heads")(x, [deepest])
    return jax.tree.map(lambda logits: logits[:, :h, :w], outputs)
