import flax.linen as nn
import numpy as np
import pytest

from covseg.evaluation.evaluator import Evaluator
from covseg.runtime import devices
from input_pipeline.films import Films


class _Thresholds(nn.Module):
  """Calls bright pixels infected, films whose first pixel is bright, and, if asked to, not quite dark pixels lung."""

  has_lung: bool

  @nn.compact
  def __call__(self, images, train):
    logits = {"infection": 100 * (images - 0.5), "presence": 4 * (images[:, :1, :1] - 0.5)}
    return {**logits, "lung": 100 * (images - 0.22)} if self.has_lung else logits


@pytest.mark.parametrize("has_lung", [True, False])
def test_predictions_are_those_of_each_film_in_turn(tiny_config, has_lung):
  images = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
  films = Films(images, images > 200, None, list("abcde"), [""] * 5)
  tiny_config.eval.batch_size = 2  # The last batch is padded.
  evaluator = Evaluator(tiny_config, _Thresholds(has_lung), devices.create_mesh(2))
  found = evaluator.predict({}, films)
  assert (found.masks == (images > 127)).all()
  expected = 1 / (1 + np.exp(-100 * (images / 255 - 0.5)))
  assert found.probabilities == pytest.approx(expected, abs=1e-3)
  if has_lung:
    assert (found.lung_masks == (images > 56)).all()
  else:
    assert found.lung_masks is None
  scores = evaluator.score({}, iter(images), films.masks)
  infected, marked = (images > level for level in (200, 127))
  np.testing.assert_allclose(scores.of_films["presence"], 1 / (1 + np.exp(2 - images[:, 0, 0] / 63.75)), rtol=1e-5)
  kinds = [marked & infected, marked & ~infected, infected & ~marked, ~(marked | infected)]
  assert np.array_equal(scores.counts.T, [kind.sum(axis=(1, 2)) for kind in kinds])
