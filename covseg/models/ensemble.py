"""Several trained networks as one."""

from collections.abc import Callable, Iterable

import flax.linen as nn
import jax
import jax.numpy as jnp

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

  def of_both(self, images: jax.Array, mirrored: jax.Array) -> Logits:
    """Logits of films, from images of them and mirror images, both (B, H, W, 1); shaped as of one network."""
    found = [of_pairs(lambda x: self._of_network(0, x), images, mirrored)]
    for i in range(1, len(self.networks)):
      found.append(self._of_network(i, images) if i % 2 else _mirror(self._of_network(i, mirrored)))
    return mean(found)

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


def of_pairs(network: Callable[[jax.Array], Logits], images: jax.Array, mirrored: jax.Array) -> Logits:
  """Logits of films, the mean of a network's for images and for mirror images; shaped as the network's.

  Heads of films are of the images alone. The network sees both in one batch, so that it is compiled once.

  Args:
    network: function of images (2 B, H, W, 1).
    images, mirrored: float32 (B, H, W, 1).
  """
  pairs = jnp.stack([images, mirrored], axis=1)  # A film's two images lie on one device.
  logits = network(pairs.reshape(-1, *images.shape[1:]))
  paired = {head: x.reshape(-1, 2, *x.shape[1:]) for head, x in logits.items()}
  of_films, of_mirrored = ({head: x[:, i] for head, x in paired.items()} for i in (0, 1))
  return mean([of_films, _mirror(of_mirrored)])


def _mirror(logits: Logits) -> Logits:
  """Logits {head: float32 (B, H, W, 1)} of films from those of their mirror images: left and right change places.

  Without the heads of films: whether there is an infection is decided by the film, whose grey levels are as they were.
  """
  return {head: x[:, :, ::-1] for head, x in logits.items() if head not in heads.HEADS_OF_FILMS}
