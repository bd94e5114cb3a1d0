"""Several trained networks as one."""

import flax.linen as nn
import jax

from covseg.models import blocks


class Ensemble(nn.Module):
  """Networks whose logits are averaged, each head over those that have it.

  Attributes:
    networks: their parameters lie under "networks_0", "networks_1" and so on.
    image_sizes: side in pixels at which each sees the images.
  """

  networks: tuple[nn.Module, ...]
  image_sizes: tuple[int, ...]

  def __call__(self, images: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Logits {head: (B, H, W, 1)}, "presence" (B, 1, 1, 1), of images (B, H, W, 1) in [0, 1].

    Raises:
      ValueError: it is to be trained.
    """
    if train:
      raise ValueError("An ensemble is made of networks that are trained; train each by itself.")
    found = {}
    for network, side in zip(self.networks, self.image_sizes, strict=True):
      for head, logits in network(blocks.resize(images, (side, side)), train=False).items():
        if head not in blocks.HEADS_OF_FILMS:
          logits = blocks.resize(logits, images.shape[1:3])
        found.setdefault(head, []).append(logits)
    return {head: sum(logits) / len(logits) for head, logits in found.items()}
