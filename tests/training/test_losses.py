import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from configs import default
from covseg.training import losses


def test_bce_agrees_with_scikit_learn_per_image():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(3, 8, 8, 1)).astype(np.float32)
  masks = (rng.random((3, 8, 8, 1)) < 0.3).astype(np.float32)
  expected = [
    sklearn.metrics.log_loss(mask.ravel(), 1 / (1 + np.exp(-logit.ravel())))
    for mask, logit in zip(masks, logits, strict=True)
  ]
  assert losses.bce(logits=logits, masks=masks) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses_and_gradients_are_finite_on_empty_and_full_masks(name):
  config = default.get_config().loss
  config.name = name

  @jax.jit
  @jax.value_and_grad
  def with_gradient(logits, masks):
    return losses.network_loss(config, {"infection": logits}, {"infection": masks}, masks.any(axis=(1, 2, 3))).sum()

  for logit, mask in itertools.product((-100.0, 0.0, 100.0), (0.0, 1.0)):
    loss, gradient = with_gradient(jnp.full((1, 4, 4, 1), logit), jnp.full((1, 4, 4, 1), mask))
    assert np.isfinite(loss), (logit, mask)
    assert np.isfinite(gradient).all(), (logit, mask)


def _random(seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(3, 8, 8, 1)).astype("f"), (rng.random((3, 8, 8, 1)) < 0.3).astype("f")


def test_weighted_bce_counts_infected_pixels_several_times():
  logits, masks = _random()
  weights = np.where(masks == 1, 3.0, 1.0)
  p = 1 / (1 + np.exp(-logits.astype(np.float64)))
  expected = (weights * -np.log(np.where(masks == 1, p, 1 - p))).mean(axis=(1, 2, 3))
  loss = losses.weighted_bce(logits=logits, masks=masks, positive_weight=3.0)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_soft_dice_of_a_case_worked_by_hand():
  # Probabilities 1/2 everywhere, 4 of 16 pixels infected: tp = 2, fp = 6, fn = 2, so with 1 added above and
  # below, 1 - (2 + 1) / (2 + 3 + 1 + 1).
  masks = np.zeros((1, 4, 4, 1), np.float32)
  masks[0, 0] = 1
  assert losses.soft_dice(logits=np.zeros_like(masks), masks=masks)[0] == pytest.approx(1 - 3 / 7)
  both = losses.bce_dice(logits=np.zeros_like(masks), masks=masks, dice_weight=2.0)
  assert both[0] == pytest.approx(np.log(2) + 2 * (1 - 3 / 7))


def test_the_least_loss_for_a_soft_mask_is_at_the_mask_itself():
  soft = np.random.default_rng(0).uniform(0.05, 0.95, (1, 8, 8, 1)).astype(np.float32)
  loss_at = lambda p: losses.soft_dice(logits=np.log(p / (1 - p)), masks=soft)[0]  # noqa: E731
  assert loss_at(soft) == pytest.approx(0, abs=1e-5)
  # With p y in place of (p + y - |p - y|) / 2, a mask of 0 and 1 would cost less than the mask itself.
  assert loss_at(np.where(soft > 0.5, 0.999, 0.001).astype(np.float32)) > 0.2


def test_nothing_found_in_a_film_without_infection_costs_nothing():
  logits, masks = np.full((1, 8, 8, 1), -30.0, np.float32), np.zeros((1, 8, 8, 1), np.float32)
  for name in losses.LOSSES:
    config = default.get_config().loss
    config.name = name
    loss = losses.network_loss(config, {"infection": logits}, {"infection": masks}, masks.any(axis=(1, 2, 3)))
    assert loss[0] == pytest.approx(0, abs=1e-4), name


def test_tversky_weighs_false_positives_and_false_negatives_apart():
  masks = np.zeros((1, 4, 4, 1), np.float32)
  masks[0, :2] = 1  # 8 pixels; the prediction is certain, of rows 1 to 3: tp = 4, fp = 8, fn = 4.
  logits = np.full_like(masks, -50.0)
  logits[0, 1:] = 50.0
  loss = losses.tversky(logits=logits, masks=masks, tversky_alpha=0.25, tversky_beta=0.75)
  assert loss[0] == pytest.approx(1 - 5 / (4 + 2 + 3 + 1))
  focal = losses.focal_tversky(
    logits=logits, masks=masks, tversky_alpha=0.25, tversky_beta=0.75, focal_tversky_gamma=2.0
  )
  assert focal[0] == pytest.approx(0.5**0.5)


def test_focal_loss_by_its_formula():
  logits, masks = _random()
  p = 1 / (1 + np.exp(-logits.astype(np.float64)))
  p_true, alpha = np.where(masks == 1, p, 1 - p), np.where(masks == 1, 0.75, 0.25)
  expected = (-alpha * (1 - p_true) ** 2 * np.log(p_true)).mean(axis=(1, 2, 3))
  loss = losses.focal(logits=logits, masks=masks, focal_gamma=2.0, focal_alpha=0.75)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_lovasz_hinge_is_the_jaccard_loss_where_every_error_is_0_or_1():
  # Logits of 1 and 0: right ones have a hinge error of 0, wrong ones of 1, and there the Lovász extension
  # equals the function that it extends, the Jaccard loss of the errors.
  rng = np.random.default_rng(1)
  masks = (rng.random((4, 6, 6, 1)) < 0.4).astype(np.float32)
  wrong = rng.random(masks.shape) < 0.3
  logits = np.where(wrong, 0.0, 2 * masks - 1).astype(np.float32)
  for i in range(4):
    mask, errors = masks[i].astype(bool), wrong[i]
    jaccard = 1 - (mask & ~errors).sum() / (mask | errors).sum()
    assert losses.lovasz_hinge(logits=logits, masks=masks)[i] == pytest.approx(jaccard, rel=1e-5)


def test_lung_head_and_auxiliary_outputs_enter_the_loss():
  logits, masks = _random()
  lungs, lung_masks = _random(1)
  config = default.get_config().loss
  config.lung_weight = 0.25
  targets = {"infection": masks, "lung": lung_masks}
  first = losses.bce(logits=logits, masks=masks) + 0.25 * losses.bce(logits=lungs, masks=lung_masks)
  outputs = {"infection": logits, "lung": lungs}
  np.testing.assert_allclose(losses.network_loss(config, outputs, targets, np.ones(3, bool)), first, rtol=1e-6)
  second = losses.bce(logits=-logits, masks=masks)
  outputs["auxiliary"] = ({"infection": -logits},)
  np.testing.assert_allclose(
    losses.network_loss(config, outputs, targets, np.ones(3, bool)), (first + second) / 2, rtol=1e-6
  )


def test_with_a_presence_head_only_films_with_infection_teach_where_it_is():
  logits, masks = _random()
  masks[1] = 0
  presence = np.linspace(-1, 1, len(masks), dtype=np.float32).reshape(-1, 1, 1, 1)
  config = default.get_config().loss
  config.presence_weight = 0.25
  present = masks.max(axis=(1, 2, 3))
  assert 0 < present.sum() < len(present)
  outputs = {"infection": logits, "presence": presence}
  loss = losses.network_loss(config, outputs, {"infection": masks}, present == 1)
  of_films = losses.bce(logits=presence, masks=present.reshape(presence.shape))
  np.testing.assert_allclose(loss, present * losses.bce(logits=logits, masks=masks) + 0.25 * of_films, rtol=1e-6)


def test_involvement_is_learnt_from_clean_and_infected_lungs_of_films_with_infection():
  lungs = np.zeros((4, 10, 20, 1), np.float32)
  lungs[:, :, 1:9] = lungs[:, :, 11:19] = 1  # Two lungs of 80 pixels.
  infection = np.zeros_like(lungs)
  infection[0, :, 1:3] = 1  # A quarter of the left one; the right one is clean.
  infection[1, :, 1:19] = lungs[1, :, 1:19]  # Both.
  infection[2, 0, 1] = 1  # 1.25 % of the left one, which teaches nothing.
  logits = np.array([[2.0, -1.0], [0.5, 1.5], [3.0, -2.0], [9.0, 9.0]], np.float32)  # The last film has no infection.
  softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
  expected = [
    (softplus(-2) + 8 * softplus(-1)) / 2,
    (softplus(-0.5) + softplus(-1.5)) / 2,
    8 * softplus(-2) / 2,
    0,
  ]
  of_films = {"infection": infection, "lungs": lungs, "had_infection": np.arange(4) < 3}
  found = losses.involvement(logits=logits[:, None, :, None], **of_films, opacity=None)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  # Of a film without infection, the worse lung says whether it has opacities.
  logits[3] = [-2.0, 0.5]
  for opacity, of_worse_lung in ((True, softplus(-0.5)), (False, softplus(0.5))):
    found = losses.involvement(logits=logits[:, None, :, None], **of_films, opacity=np.full(4, opacity))
    np.testing.assert_allclose(found, [*expected[:3], of_worse_lung], rtol=1e-5)


def test_where_opacities_are_known_films_without_infection_teach_no_pixels_of_infection():
  logits, masks = _random()
  masks[1] = 0
  lungs, of_lungs, had = np.ones_like(masks), np.ones((3, 1, 2, 1), np.float32), np.array([True, False, True])
  outputs = {"infection": logits, "lung": logits, "involvement": of_lungs}
  loss_of = functools.partial(losses.network_loss, default.get_config().loss)
  unknown, known = (loss_of(outputs, {"infection": masks, "lung": lungs}, had, x) for x in (None, np.ones(3, bool)))
  lost = losses.bce(logits=logits, masks=masks)[1] - 0.1 * np.log1p(np.exp(-1))
  np.testing.assert_allclose(unknown - known, [0, lost, 0], atol=1e-6)


def test_a_film_whose_infection_augmentation_took_away_still_teaches_that_its_lungs_are_clean():
  logits, masks = _random()
  lungs = np.ones_like(masks)
  masks[1] = 0
  of_lungs = np.ones((3, 1, 2, 1), np.float32)
  outputs = {"infection": logits, "lung": logits, "involvement": of_lungs, "presence": of_lungs[:, :, :1]}
  loss_of = functools.partial(losses.network_loss, default.get_config().loss, outputs)
  of_film = lambda had: loss_of({"infection": masks, "lung": lungs}, np.array([True, had, True]))[1]  # noqa: E731
  from_bce, of_clean_lung = losses.bce(logits=logits, masks=masks)[1], 8 * np.log1p(np.exp(1))
  np.testing.assert_allclose(of_film(True) - of_film(False), from_bce + 0.1 * of_clean_lung, rtol=1e-5)


def test_a_pixel_of_a_soft_mask_is_infected_above_half():
  logits, masks = _random()
  of_lungs = np.ones((3, 1, 2, 1), np.float32)
  outputs = {"infection": logits, "lung": logits, "involvement": of_lungs, "presence": of_lungs[:, :, :1]}
  loss_of = functools.partial(losses.network_loss, default.get_config().loss)
  masks[1] = 0
  soft, lungs, had = np.where(masks, 0.7, 0.3).astype(np.float32), np.ones_like(masks), np.ones(3, bool)
  of_pixels = losses.bce(logits=logits, masks=masks) - losses.bce(logits=logits, masks=soft)
  found, expected = (loss_of(outputs, {"infection": x, "lung": lungs}, had) for x in (soft, masks))
  np.testing.assert_allclose(found + of_pixels, expected, rtol=1e-5)
