import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from covseg import losses


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
@pytest.mark.parametrize("logit", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_losses_and_gradients_are_finite_on_empty_and_full_masks(name, logit, mask):
  logits, masks = jnp.full((1, 4, 4, 1), logit), jnp.full((1, 4, 4, 1), mask)
  loss, gradient = jax.value_and_grad(lambda logits: losses.LOSSES[name](logits=logits, masks=masks).sum())(
    logits
  )
  assert np.isfinite(loss)
  assert np.isfinite(gradient).all()
