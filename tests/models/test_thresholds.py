import jax
import numpy as np
import pytest
from scipy.special import expit

from covseg.models import thresholds


@pytest.fixture(scope="module")
def logits():
  """float32 (4, 48, 48): soft spots, from small and unlikely to large and certain."""
  y, x = np.mgrid[:48, :48] - 23.5
  widths, peaks = np.array([10.0, 12.0, 14.0, 18.0]), np.array([0.3, 1.0, 2.0, 4.0])
  return (peaks[:, None, None] + 5 * (np.exp(-(x**2 + y**2) / widths[:, None, None] ** 2) - 1)).astype(np.float32)


def _of_films(logits):
  return np.asarray(jax.jit(thresholds.of_films)(logits[..., None]))[:, 0, 0, 0]


def _dice(masks, truth):
  """(N,) of masks (N, P) and one truth (P,)."""
  return 2 * (masks & truth).sum(axis=1) / (masks.sum(axis=1) + truth.sum())


def test_no_threshold_gives_more_dice_on_masks_drawn_from_the_probabilities(logits):
  rng = np.random.default_rng(0)
  found = _of_films(logits)
  for film, threshold in zip(logits.reshape(4, -1), found, strict=True):
    tried = np.append(np.linspace(-4, 2, 121), threshold)
    masks = film > tried[:, None]
    mean = np.mean([_dice(masks, rng.random(film.shape) < expit(film)) for _ in range(400)], axis=0)
    assert mean[-1] > mean.max() - 0.003
    assert mean[np.argmin(np.abs(tried))] < mean[-1]  # At a probability of 0.5.
  assert (np.diff(found) > 0).all()  # The surer, the nearer to 0.5.


def test_the_threshold_is_half_of_the_dice_that_it_reaches(logits):
  # Lipton, Elkan and Naryanaswamy 2014, "Optimal thresholding of classifiers to maximize F1 measure".
  for film, threshold in zip(logits, _of_films(logits), strict=True):
    probabilities, mask = expit(film), film > threshold
    dice = 2 * probabilities[mask].sum() / (mask.sum() + probabilities.sum())
    assert expit(threshold) == pytest.approx(dice / 2, abs=0.03)


def test_masks_are_those_of_the_authors_package(logits):
  torch, rankseg = pytest.importorskip("torch"), pytest.importorskip("rankseg")
  films = np.concatenate([logits, logits - logits.max() - 0.1])
  theirs = rankseg.RankSEG("dice", output_mode="multilabel", solver="BA").predict(torch.tensor(expit(films)[:, None]))
  theirs = theirs[:, 0].numpy().astype(bool)
  ours = films > _of_films(films)[:, None, None]
  assert not ours[4:].any() and not theirs[4:].any()
  for our_mask, their_mask in zip(ours[:4], theirs[:4], strict=True):
    assert _dice(our_mask.reshape(1, -1), their_mask.ravel())[0] > 0.97


def test_a_film_without_a_likely_pixel_keeps_its_empty_mask(logits):
  assert _of_films(logits - logits.max() - 0.1).tolist() == [0, 0, 0, 0]


def test_a_small_change_of_a_film_moves_it_little(logits):
  rng = np.random.default_rng(0)
  changed = logits + rng.normal(0, 1e-3, (50, *logits.shape)).astype(np.float32)
  found = _of_films(changed.reshape(-1, 48, 48)).reshape(50, 4)
  assert np.ptp(found, axis=0).max() < 0.02


def test_it_is_defined_for_films_that_are_certain_all_over():
  one_pixel = np.full((48, 48), -200, np.float32)
  one_pixel[23, 23] = 1
  found = _of_films(np.stack([np.full((48, 48), 50, np.float32), one_pixel]))
  assert (found >= -4).all() and (found <= 0).all()
