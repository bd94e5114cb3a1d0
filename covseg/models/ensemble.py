"""Several trained networks as one."""

from collections.abc import Iterable

import flax.linen as nn
import jax

from covseg.models import blocks


class Ensemble(nn.Module):
  """Networks whose logits are averaged, each head over those that have it.

  Where films and their mirror images are predicted for, the first network sees both. The second sees the films, the
  third the mirror images, and so on in turn: more views cost time and add little.

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
    return mean(self._of_network(i, images) for i in range(len(self.networks)))

  def of_both(self, images: jax.Array, mirrored: jax.Array) -> dict[str, jax.Array]:
    """Logits {head: (B, H, W, 1)} of films, from images of them and mirror images, both (B, H, W, 1)."""
    found = []
    for i in range(len(self.networks)):
      of_films = [self._of_network(i, images)] if i == 0 or i % 2 else []
      of_mirrored = [] if i % 2 else [mirror(self._of_network(i, mirrored))]
      found.append(mean([*of_films, *of_mirrored]))
    return mean(found)

  def _of_network(self, i: int, images: jax.Array) -> dict[str, jax.Array]:
    side = self.image_sizes[i]
    logits = self.networks[i](blocks.resize(images, (side, side)), train=False)
    return {
      head: x if head in blocks.HEADS_OF_FILMS else blocks.resize(x, images.shape[1:3]) for head, x in logits.items()
    }


def mean(predictions: Iterable[dict[str, jax.Array]]) -> dict[str, jax.Array]:
  """Of logits {head: array}, each head's mean over those predictions that have it, of the same shape."""
  found = {}
  for logits in predictions:
    for head, x in logits.items():
      found.setdefault(head, []).append(x)
  return {head: sum(x) / len(x) for head, x in found.items()}


def mirror(logits: dict[str, jax.Array]) -> dict[str, jax.Array]:
  """Logits {head: (B, H, W, 1)} of mirror images, of the films themselves. What is of the left lung is of the right."""
  return {head: x[:, :, ::-1] for head, x in logits.items()}
