"""Several trained networks as one."""

from collections.abc import Iterable, Sequence

import flax.linen as nn
import jax

from covseg.models import blocks, heads

Logits = dict[str, jax.Array]


class Ensemble(nn.Module):
  """Networks whose logits are averaged, each head over those that have it.

  Where films and their mirror images are predicted for, the first network sees both. The second sees the films, the
  third the mirror images, and so on in turn: more views cost time and add little. What is predicted of a whole film is
  the mean of the networks that see the film itself.

  Attributes:
    networks: their parameters lie under "networks_0", "networks_1" and so on.
    image_sizes: side in pixels at which each sees the images.
  """

  networks: tuple[nn.Module, ...]
  image_sizes: tuple[int, ...]

  def __call__(self, images: jax.Array, train: bool) -> Logits:
    """Logits of images (B, H, W, 1) in [0, 1], shaped as `heads.Heads` returns them.

    Raises:
      ValueError: it is to be trained.
    """
    if train:
      raise ValueError("An ensemble is made of networks that are trained; train each by itself.")
    return mean(self._of_network(i, images) for i in range(len(self.networks)))

  def of_films(self, images: jax.Array) -> list[Logits]:
    """Logits of images of films (B, H, W, 1), by each network that sees these where others see mirror images."""
    return [self._of_network(i, images) for i in (0, *range(1, len(self.networks), 2))]

  def of_mirrored(self, mirrored: jax.Array) -> list[Logits]:
    """Logits of mirror images (B, H, W, 1), by each network that sees these."""
    return [self._of_network(i, mirrored) for i in range(0, len(self.networks), 2)]

  def _of_network(self, i: int, images: jax.Array) -> Logits:
    side = self.image_sizes[i]
    logits = self.networks[i](blocks.resize(images, (side, side)), train=False)
    return {
      head: x if head in heads.HEADS_OF_FILMS else blocks.resize(x, images.shape[1:3]) for head, x in logits.items()
    }


def mean(predictions: Iterable[Logits]) -> Logits:
  """Of logits {head: array}, each head's mean over those predictions that have it, of the same shape."""
  found = {}
  for logits in predictions:
    for head, x in logits.items():
      found.setdefault(head, []).append(x)
  return {head: sum(x) / len(x) for head, x in found.items()}


def mean_of_views(of_films: Sequence[Logits], of_mirrored: Sequence[Logits]) -> Logits:
  """Logits of films, from those of films and of mirror images by networks; shaped as one network's.

  The first of each are by the same network. Each network counts the same. Heads of films are of the films alone.
  """
  (film, *films), (mirror, *mirrors) = of_films, map(_mirror, of_mirrored)
  return mean([mean([film, mirror]), *films, *mirrors])


def _mirror(logits: Logits) -> Logits:
  """Logits {head: float32 (B, H, W, 1)} of films from those of their mirror images: left and right change places.

  Without the heads of films: whether there is an infection is decided by the film, whose grey levels are as they were.
  """
  return {head: x[:, :, ::-1] for head, x in logits.items() if head not in heads.HEADS_OF_FILMS}
