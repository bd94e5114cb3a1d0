from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from covseg.models import inference, levels, thresholds
from covseg.models.ensemble import Ensemble


class _Given(nn.Module):
  """Logits that are the image, and lungs in its left half."""

  @nn.compact
  def __call__(self, images, train):
    columns = jnp.arange(images.shape[2]) < images.shape[2] // 2
    return {"infection": 8 * images - 4, "lung": jnp.where(columns[:, None], 3.0, -3.0) + 0 * images}


@pytest.fixture
def config():
  return default.get_config().eval


def _predict(config, images):
  return jax.jit(lambda x: inference.predict(_Given(), config, {}, x))(images)


def test_flip_is_the_mean_over_the_film_and_its_mirror_image(config):
  images = np.random.default_rng(0).random((2, 4, 6, 1), np.float32)
  plain = _predict(config, images)
  np.testing.assert_allclose(plain["infection"], 8 * images[..., 0] - 4, rtol=1e-5)
  config.flip = True
  flipped = _predict(config, images)
  # Infection moves with the image; the lungs of this network stay on the left.
  np.testing.assert_allclose(flipped["infection"], plain["infection"], rtol=1e-5)
  np.testing.assert_allclose(flipped["lung"], np.zeros((2, 4, 6)), atol=1e-6)


class _OnTheLeft(nn.Module):
  logit: float

  @nn.compact
  def __call__(self, images, train):
    columns = jnp.arange(images.shape[2]) < images.shape[2] // 2
    return {"infection": self.logit * columns[:, None] + 0 * images}


@pytest.mark.parametrize(
  ("logits", "left", "right"),
  [((1, 2), 2.5 / 2, 0.5 / 2), ((1, 2, 4), 2.5 / 3, 4.5 / 3), ((1, 2, 4, 6), 8.5 / 4, 4.5 / 4)],
)
def test_networks_count_the_same_and_those_after_the_first_share_out_the_film_and_its_mirror_image(
  config, logits, left, right
):
  ensemble = Ensemble(tuple(map(_OnTheLeft, logits)), (6,) * len(logits))
  images = np.zeros((2, 6, 6, 1), np.float32)
  alone = inference.predict(ensemble, config, {}, images)["infection"]
  np.testing.assert_allclose(alone[..., :3], np.full((2, 6, 3), np.mean(logits)), rtol=1e-6)
  config.flip = True
  both = inference.predict(ensemble, config, {}, images)["infection"]
  np.testing.assert_allclose(both[..., :3], np.full((2, 6, 3), left), rtol=1e-6)
  np.testing.assert_allclose(both[..., 3:], np.full((2, 6, 3), right), rtol=1e-6)


class _Lungs(nn.Module):
  """The left lung infected, and lungs on the left."""

  @nn.compact
  def __call__(self, images, train):
    left = _OnTheLeft(3.0)(images, train)["infection"]
    return {"infection": left, "lung": left, "involvement": 0 * images[:, :1, :2] + jnp.array([2.0, -2.0])[:, None]}


def test_a_head_that_one_network_has_is_its_own_and_moves_with_the_image(config):
  images = np.zeros((2, 6, 6, 1), np.float32)
  config.flip = True
  second = inference.predict(Ensemble((_OnTheLeft(1.0), _Lungs()), (6, 6)), config, {}, images)
  np.testing.assert_allclose(second["lung"][..., :3], np.full((2, 6, 3), 3.0))
  np.testing.assert_allclose(second["lung"][..., 3:], np.zeros((2, 6, 3)))
  np.testing.assert_allclose(second["involvement"], [2, 2])
  first = inference.predict(Ensemble((_Lungs(), _OnTheLeft(1.0)), (6, 6)), config, {}, images)
  np.testing.assert_allclose(first["lung"], np.full((2, 6, 6), 1.5))  # Of the film and its mirror image.
  np.testing.assert_allclose(first["involvement"], [2, 2])  # Of the film alone; the mean would be 0.


def test_grey_levels_of_the_mirror_image_are_matched(config):
  images = np.random.default_rng(0).random((2, 64, 64, 1), np.float32) ** 3
  config.flip, config.match_levels = True, 0.5
  moved = np.asarray(levels.match(images, 0.5))
  assert np.abs(moved - images).mean() > 0.1
  expected = 8 * (images + moved)[..., 0] / 2 - 4
  np.testing.assert_allclose(_predict(config, images)["infection"], expected, rtol=1e-4, atol=1e-4)


def test_lung_only_bounds_infection_by_lung(config):
  config.lung_only = True
  logits = _predict(config, np.ones((1, 4, 6, 1), np.float32))
  assert (logits["infection"][..., :3] == 3).all()
  assert (logits["infection"][..., 3:] == -3).all()


class _WithPresence(nn.Module):
  @nn.compact
  def __call__(self, images, train):
    return {"infection": 8 * images - 4, "presence": jnp.array([-3.0, -1.0])[:, None, None, None]}


def test_infection_is_no_likelier_than_an_unlikely_presence(config):
  images = np.tile(np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 3, 4, 1), (2, 1, 1, 1))
  given = 8 * images[..., 0] - 4
  for least, expected in (
    (0.0, given),
    (0.1, np.stack([np.minimum(given[0], -3), given[1]])),
    (0.3, np.minimum(given, np.array([-3, -1])[:, None, None])),
  ):
    config.least_presence = least
    found = inference.predict(_WithPresence(), config, {}, images)
    np.testing.assert_allclose(found["presence"], [-3, -1])
    np.testing.assert_allclose(found["infection"], expected, rtol=1e-5)


@pytest.mark.parametrize("field", ["least_presence", "least_involvement"])
@pytest.mark.parametrize(("least", "empty"), [(0.5, False), (0.55, True), (0.9, True), (1.0, True)])
def test_a_bound_above_a_half_empties_the_mask_too(config, field, least, empty):
  class Likely(nn.Module):
    def __call__(self, images, train):
      of_film = jnp.full((1, 1, 1, 1), 0.1)  # A probability of 0.525.
      return {"infection": 8 * images, field.removeprefix("least_"): of_film}

  config[field] = least
  found = inference.predict(Likely(), config, {}, np.ones((1, 4, 4, 1), np.float32))["infection"]
  assert (found == (0 if empty else 8)).all()


def test_probabilities_are_scaled_to_the_size_of_the_comparison():
  logits = {"infection": jnp.zeros((2, 4, 4)), "lung": jnp.full((2, 4, 4), 50.0)}
  found = inference.probabilities(logits, (8, 6))
  assert found["infection"].shape == (2, 8, 6)
  assert (found["infection"] == 0.5).all()
  assert (found["lung"] == 1).all()


def test_logits_are_those_above_the_films_own_threshold_unless_its_lungs_are_clean(config):
  class OneSpot(nn.Module):
    def __call__(self, images, train):
      logits = {"infection": 5 * images - 2, "lung": jnp.full(images.shape, 9.0)}
      return logits | {"involvement": images[:, :1, :1] + jnp.array([2.0, -3.0])[:, None, None, None]}

  images = np.tile(np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1), (2, 1, 1, 1))
  config.least_involvement = 0.1
  before = inference.predict(OneSpot(), config, {}, images)["infection"]
  config.own_threshold = True
  found = inference.predict(OneSpot(), config, {}, images)["infection"]
  own = thresholds.of_films(before[..., None])[0, 0, 0, 0]
  assert own < -0.1
  np.testing.assert_allclose(found[0], before[0] - own, rtol=1e-5)
  assert (before[1] == before[1].clip(max=-3)).all() and (found[1] <= -3).all()


def test_a_film_whose_lungs_are_probably_clean_has_no_infection(config):
  class TwoLungs(nn.Module):
    def __call__(self, images, train):
      # Where the film is bright in a lung, that lung is infected.
      of_each = jnp.stack([images[:, :, :5].mean(axis=(1, 2, 3)), images[:, :, 5:].mean(axis=(1, 2, 3))], axis=1)
      return {
        "infection": jnp.full(images.shape, 2.0),
        "lung": jnp.full(images.shape, 9.0),
        "involvement": 20 * of_each[:, None, :, None] - 3,
      }

  images = np.zeros((3, 8, 10, 1), np.float32)
  images[1, :, :5] = images[2, :, 5:] = 1
  for flip in (False, True):
    config.flip, config.least_involvement = flip, 0.3
    called = inference.predict(TwoLungs(), config, {}, images)["infection"] > 0
    assert not called[0].any() and called[1:].all()
  config.least_involvement = 0.0
  assert (inference.predict(TwoLungs(), config, {}, images)["infection"] > 0).all()


class _Seen(nn.Module):
  """Infection where the image is bright, involvement by its first row; `note` is called with what it is applied to."""

  note: Callable

  def __call__(self, images, train):
    jax.debug.callback(self.note, images)
    return {"infection": 8 * images - 3, "involvement": 8 * images[:, :1].mean(axis=2, keepdims=True) - 4}


@pytest.mark.parametrize(
  ("least", "threshold", "num_seen"),
  # Probabilities of 0.02 and 0.31, below which infection cannot be more likely; then of 0.98.
  [(0.0, 0.5, (2, 2, 2)), (0.4, 0.5, (1, 1, 2)), (0.4, 0.3, (1, 2, 2)), (0.99, 0.5, (1, 1, 1))],
)
def test_masks_alone_need_no_mirror_image_of_a_film_without_infection(config, least, threshold, num_seen):
  config.flip, config.least_involvement, config.threshold = True, least, threshold
  images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
  images[:, 0] = np.reshape([0.0, 0.4, 1.0], (3, 1, 1))
  seen = []
  for model in (_Seen(seen.append), Ensemble((_Seen(seen.append), _OnTheLeft(1.0)), (8, 8))):
    expected = inference.predict(model, config, {}, images)
    apply = jax.jit(lambda x, model=model: inference.predict(model, config, {}, x, masks_only=True))
    for i, image in enumerate(images):
      jax.effects_barrier()
      seen.clear()
      found = apply(image[None])
      jax.effects_barrier()
      assert len(seen) == num_seen[i]
      assert found["involvement"] == pytest.approx(expected["involvement"][i], rel=1e-5)
      masks = (jax.nn.sigmoid(x) > threshold for x in (found["infection"][0], expected["infection"][i]))
      np.testing.assert_array_equal(*masks)
    together = apply(images)["infection"]  # One film that is infected, and all are seen in both ways.
    if least < 0.9:
      np.testing.assert_allclose(together, expected["infection"], rtol=1e-5, atol=1e-5)
