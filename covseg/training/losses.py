"""Losses over logits and masks: keyword arguments, one value per image.

Each takes logits, float32 (B, H, W, 1), and masks, float32 (B, H, W, 1) of 0 and 1, and returns float32 (B,). Those of
`SOFT` take soft masks, between 0 and 1, too. They are finite, and so are their gradients, for empty masks, full masks
and any logits.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from covseg.configuration import check_choice, check_effects, check_ranges
from covseg.models.heads import halves_at_centroid
from input_pipeline.augmentation import CLEAN_LUNG, INFECTED_LUNG

# Added to the two halves of a ratio of areas, in pixels, so that an empty prediction of an empty mask
# is a perfect one.
_SMOOTHING = 1.0
_PIXELS = (1, 2, 3)
# 92 % of the lungs of COVID-19 films are infected.
_CLEAN_LUNG_WEIGHT = 8.0


def bce(*, logits: jax.Array, masks: jax.Array) -> jax.Array:
  """Binary cross-entropy of each image, the mean over its pixels."""
  return optax.sigmoid_binary_cross_entropy(logits, masks).mean(axis=_PIXELS)


def weighted_bce(*, logits: jax.Array, masks: jax.Array, positive_weight: float) -> jax.Array:
  """Binary cross-entropy in which infected pixels count `positive_weight` times."""
  weights = 1 + (positive_weight - 1) * masks
  return (weights * optax.sigmoid_binary_cross_entropy(logits, masks)).mean(axis=_PIXELS)


def soft_dice(*, logits: jax.Array, masks: jax.Array) -> jax.Array:
  """1 - Dice with probabilities in the place of the prediction (Milletari et al. 2016, without squares)."""
  return tversky(logits=logits, masks=masks, tversky_alpha=0.5, tversky_beta=0.5)


def bce_dice(*, logits: jax.Array, masks: jax.Array, dice_weight: float) -> jax.Array:
  """Binary cross-entropy plus `dice_weight` times the soft Dice loss."""
  return bce(logits=logits, masks=masks) + dice_weight * soft_dice(logits=logits, masks=masks)


def focal(*, logits: jax.Array, masks: jax.Array, focal_gamma: float, focal_alpha: float) -> jax.Array:
  """Focal loss (Lin et al. 2017, equation 5); `focal_alpha` weighs infected pixels against the others."""
  return optax.sigmoid_focal_loss(logits, masks, alpha=focal_alpha, gamma=focal_gamma).mean(axis=_PIXELS)


def tversky(*, logits: jax.Array, masks: jax.Array, tversky_alpha: float, tversky_beta: float) -> jax.Array:
  """1 - Tversky index (Salehi et al. 2017): alpha weighs false positives, beta false negatives.

  The true positives are (p + y - |p - y|) / 2 in place of p y. For masks of 0 and 1 it is the same; for soft ones the
  least loss is at p = y (Wang et al. 2023, https://arxiv.org/abs/2303.16296).
  """
  probabilities = jax.nn.sigmoid(logits)
  tp = (probabilities + masks - jnp.abs(probabilities - masks)).sum(axis=_PIXELS) / 2
  fp = probabilities.sum(axis=_PIXELS) - tp
  fn = masks.sum(axis=_PIXELS) - tp
  return 1 - (tp + _SMOOTHING) / (tp + tversky_alpha * fp + tversky_beta * fn + _SMOOTHING)


def focal_tversky(
  *,
  logits: jax.Array,
  masks: jax.Array,
  tversky_alpha: float,
  tversky_beta: float,
  focal_tversky_gamma: float,
) -> jax.Array:
  """The Tversky loss to the power of 1 / gamma (Abraham and Khan 2019, equation 4)."""
  loss = tversky(logits=logits, masks=masks, tversky_alpha=tversky_alpha, tversky_beta=tversky_beta)
  return jnp.maximum(loss, 1e-6) ** (1 / focal_tversky_gamma)  # At 0 the gradient of a root is infinite.


def lovasz_hinge(*, logits: jax.Array, masks: jax.Array) -> jax.Array:
  """Lovász extension of the Jaccard loss on hinge errors (Berman et al. 2018, algorithm 1), per image."""

  def of_image(logits: jax.Array, masks: jax.Array) -> jax.Array:
    errors = 1 - logits * (2 * masks - 1)
    order = jnp.argsort(-errors)
    masks = masks[order]
    intersection = masks.sum() - jnp.cumsum(masks)
    union = masks.sum() + jnp.cumsum(1 - masks)
    jaccard = 1 - intersection / union
    steps = jnp.diff(jaccard, prepend=0.0)
    return jax.nn.relu(errors[order]) @ steps

  return jax.vmap(of_image)(logits.reshape(len(logits), -1), masks.reshape(len(masks), -1))


def involvement(
  *,
  logits: jax.Array,
  infection: jax.Array,
  lungs: jax.Array,
  had_infection: jax.Array,
  opacity: jax.Array | None = None,
) -> jax.Array:
  """Binary cross-entropy of whether each lung is infected or, of other films, of whether they have opacities: (B,).

  In films that had an infection, clean and infected lungs come from the same hospitals, and often from the same film.
  A lung is infected from 3 % of its area on and clean under 0.5 %; between, it teaches nothing. Clean lungs are rare,
  and count for more. Of other films it is known of the film alone whether it has opacities, and its worse lung is taken
  for it (multiple-instance learning, Dietterich et al. 1997).

  Args:
    logits: float32 (B, 1, 2, 1), the lung on the left of the film first.
    infection, lungs: float32 (B, H, W, 1); a pixel is infected above 0.5.
    had_infection: bool (B,), before the film was augmented.
    opacity: bool (B,), of films that had none, whether they have opacities; None where that is not known: they teach
      nothing.
  """
  logits = logits[:, 0, :, 0]
  halves, infection = halves_at_centroid(lungs), infection > 0.5
  area = halves.sum(axis=(1, 2))
  share = (halves * infection).sum(axis=(1, 2)) / jnp.maximum(area, 1)  # (B, 2)
  weight = jnp.where(share > INFECTED_LUNG, 1.0, jnp.where(share < CLEAN_LUNG, _CLEAN_LUNG_WEIGHT, 0.0))
  weight *= area > 0
  of_lungs = (weight * optax.sigmoid_binary_cross_entropy(logits, share > INFECTED_LUNG)).mean(axis=1)
  of_film = 0.0 if opacity is None else optax.sigmoid_binary_cross_entropy(logits.max(axis=1), opacity)
  return jnp.where(had_infection, of_lungs, of_film)


LOSSES = {
  loss.__name__: loss for loss in (bce, weighted_bce, soft_dice, bce_dice, focal, tversky, focal_tversky, lovasz_hinge)
}

# Losses whose minimum for a soft mask is at the mask itself, apart from what their weights shift.
SOFT = ("bce", "weighted_bce", "soft_dice", "bce_dice", "tversky", "focal_tversky")

# Weights of what is learnt besides the infection, and the heads that they need.
_OF_HEADS = {"lung_weight": "lung", "presence_weight": "presence", "involvement_weight": "involvement"}


_RANGES = {
  "positive_weight": (0, None),
  "dice_weight": (0, None),
  "focal_gamma": (0, None),
  "focal_alpha": (0, 1),
  "tversky_alpha": (0, None),
  "tversky_beta": (0, None),
  "focal_tversky_gamma": (0.1, None),
  "teacher_weight": (0, 0.5),
  **dict.fromkeys(_OF_HEADS, (0, None)),
}


def check(config: ConfigDict, heads: Sequence[str]) -> None:
  """Raises ValueError if a field of `config.loss` is not known, cannot work, or has no effect."""
  check_choice("loss.name", config.name, LOSSES)
  used = set(inspect.signature(LOSSES[config.name]).parameters) - {"logits", "masks"}
  used |= {field for field, head in _OF_HEADS.items() if head in heads} | {"teacher"}
  check_ranges(config, "loss.", _RANGES)
  if config.teacher and config.name not in SOFT:
    raise ValueError(
      f"loss.teacher makes masks soft, and loss.name={config.name!r} is for masks of 0 and 1; expected one of "
      f"{', '.join(SOFT)}."
    )
  used |= {"teacher_weight"} if config.teacher else set()
  kind = "a teacher" if config.teacher else "no teacher"
  by = f"loss.name={config.name!r} with {kind} and the heads {', '.join(heads)}"
  check_effects(config, "loss.", {"name", *used}, by)


def network_loss(
  config: ConfigDict,
  outputs: Mapping[str, Any],
  masks: Mapping[str, jax.Array],
  had_infection: jax.Array,
  opacity: jax.Array | None = None,
) -> jax.Array:
  """Loss of each film, float32 (B,): of the infection, plus those of the other heads with their weights.

  Where there is a head "presence", or it is known which films have opacities, films without infection teach no pixels
  of it. Where the network has auxiliary outputs (deep supervision), it is the mean over them and the main one.

  Args:
    config: `config.loss`.
    outputs: of the network.
    masks: of the heads that segment, {head: float32 (B, H, W, 1)}.
    had_infection: bool (B,), whether films had an infection before they were augmented.
    opacity: bool (B,), whether those without have opacities; None where that is not known.
  """
  supervised = [outputs, *outputs.get("auxiliary", ())]
  return sum(_of_output(config, one, masks, had_infection, opacity) for one in supervised) / len(supervised)


def _of_output(
  config: ConfigDict,
  output: Mapping[str, jax.Array],
  masks: Mapping[str, jax.Array],
  had_infection: jax.Array,
  opacity: jax.Array | None,
) -> jax.Array:
  function = LOSSES[config.name]
  fields = {name: config[name] for name in inspect.signature(function).parameters if name in config}
  loss = function(logits=output["infection"], masks=masks["infection"], **fields)
  if "presence" in output or opacity is not None:
    loss *= had_infection
  if "presence" in output:
    present = (masks["infection"] > 0.5).max(axis=_PIXELS, keepdims=True)
    loss += config.presence_weight * bce(logits=output["presence"], masks=present)
  if "involvement" in output:
    loss += config.involvement_weight * involvement(
      logits=output["involvement"],
      infection=masks["infection"],
      lungs=masks["lung"],
      had_infection=had_infection,
      opacity=opacity,
    )
  if "lung" in output:
    loss += config.lung_weight * bce(logits=output["lung"], masks=masks["lung"])
  return loss
