import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from covseg import metrics
from covseg.evaluation import calibration


@pytest.fixture
def films():
  rng = np.random.default_rng(0)
  probabilities = rng.random((4, 16, 16), np.float32) ** 2
  masks = rng.random((4, 16, 16)) < probabilities**1.5
  lungs = rng.random((4, 16, 16)) < 0.6
  masks[3] = False
  return probabilities, masks, lungs


def test_agrees_with_scikit_learn_inside_and_outside_the_lungs(films):
  probabilities, masks, lungs = films
  found = calibration.calibration(calibration.histograms(*films))
  for name, region in {"all": lungs | True, "inside_lungs": lungs, "outside_lungs": ~lungs}.items():
    p, t = probabilities[region], masks[region]
    assert found[name]["num_pixels"] == region.sum()
    assert found[name]["brier_score"] == pytest.approx(sklearn.metrics.brier_score_loss(t, p), rel=1e-6)
    shares, means = sklearn.calibration.calibration_curve(t, p, n_bins=calibration.NUM_BINS)
    bins = [bin for bin in found[name]["bins"] if bin["num_pixels"]]
    assert [bin["infected_share"] for bin in bins] == pytest.approx(shares)
    assert [bin["mean_probability"] for bin in bins] == pytest.approx(means)
    error = sum(bin["num_pixels"] * abs(s - m) for bin, s, m in zip(bins, shares, means, strict=True))
    assert found[name]["expected_calibration_error"] == pytest.approx(error / region.sum())


def test_hand_worked_case():
  found = calibration.calibration(
    calibration.histograms(np.array([[[0.0, 0.25], [0.28, 1.0]]]), np.array([[[0, 1], [0, 1]]], bool), None)
  )
  assert found.keys() == {"all"}
  assert found["all"]["brier_score"] == pytest.approx((0.75**2 + 0.28**2) / 4)
  # 0.25 and 0.28 share the bin (0.2, 0.3]: mean probability 0.265, infected share 0.5.
  assert found["all"]["expected_calibration_error"] == pytest.approx(2 * (0.5 - 0.265) / 4)


def test_counts_by_threshold_are_those_of_each_threshold(films):
  probabilities, masks, lungs = films
  thresholds, counts = calibration.counts_by_threshold(calibration.histograms(probabilities, masks, lungs))
  for i in (0, 29, 49, 98):
    expected = metrics.confusion_counts(probabilities > thresholds[i], masks)
    assert (counts[:, i] == np.asarray(expected)).all()


def test_the_best_threshold_has_the_highest_mean_dice(films):
  curve = calibration.threshold_curve(calibration.histograms(*films))
  i = int(np.argmax(curve["dice"]))
  assert curve["best"] == curve["threshold"][i]
  probabilities, masks, _ = films
  dice = [
    sklearn.metrics.f1_score(t.ravel(), p.ravel() > curve["best"])
    for p, t in zip(probabilities[:3], masks, strict=False)  # The fourth has no infection.
  ]
  assert curve["dice"][i] == pytest.approx(np.mean(dice))


def test_of_equal_thresholds_the_nearest_to_a_half_is_the_best():
  masks = np.array([[[False, True]]])
  found = calibration.histograms(masks.astype(np.float16), masks, None)
  assert calibration.threshold_curve(found)["best"] == 0.5
