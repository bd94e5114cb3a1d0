import numpy as np
import pytest
import sklearn.metrics

from covseg import metrics


def _counts(prediction, target):
  return np.asarray(metrics.confusion_counts(np.asarray(prediction, bool), np.asarray(target, bool)))


def test_hand_worked_case():
  prediction = [[[1, 1, 0], [0, 0, 0]]]
  target = [[[1, 0, 0], [1, 1, 0]]]
  counts = _counts(prediction, target)
  assert counts.tolist() == [[1, 1, 2, 2]]
  assert metrics.dice(counts) == pytest.approx([2 / 5])
  assert metrics.iou(counts) == pytest.approx([1 / 4])
  assert metrics.pixel_accuracy(counts) == pytest.approx([3 / 6])
  assert metrics.precision(counts) == pytest.approx([1 / 2])
  assert metrics.recall(counts) == pytest.approx([1 / 3])


@pytest.mark.parametrize(
  ("predicted", "true", "expected"),
  [
    # dice, iou, pixel accuracy, precision, recall
    (0, 0, (1, 1, 1, 1, 1)),
    (0, 1, (0, 0, 0, 0, 0)),
    (1, 0, (0, 0, 0, 0, 1)),
    (1, 1, (1, 1, 1, 1, 1)),
  ],
)
def test_empty_and_full_masks(predicted, true, expected):
  counts = _counts(np.full((1, 4, 4), predicted), np.full((1, 4, 4), true))
  functions = ("dice", "iou", "pixel_accuracy", "precision", "recall")
  assert tuple(getattr(metrics, name)(counts)[0] for name in functions) == expected


def test_agrees_with_scikit_learn():
  rng = np.random.default_rng(0)
  prediction, target = rng.random((2, 20, 16, 16)) < rng.random((2, 20, 1, 1))
  counts = _counts(prediction, target)
  for i, (p, t) in enumerate(zip(prediction, target, strict=True)):
    p, t = p.ravel(), t.ravel()
    assert metrics.dice(counts)[i] == pytest.approx(sklearn.metrics.f1_score(t, p))
    assert metrics.iou(counts)[i] == pytest.approx(sklearn.metrics.jaccard_score(t, p))
    assert metrics.pixel_accuracy(counts)[i] == pytest.approx(sklearn.metrics.accuracy_score(t, p))
    assert metrics.precision(counts)[i] == pytest.approx(sklearn.metrics.precision_score(t, p))
    assert metrics.recall(counts)[i] == pytest.approx(sklearn.metrics.recall_score(t, p))
  pooled = metrics.dice(counts.sum(axis=0))
  assert pooled == pytest.approx(sklearn.metrics.f1_score(target.ravel(), prediction.ravel()))


def test_counts_of_large_images_are_exact():
  counts = _counts(np.ones((1, 5000, 5000)), np.ones((1, 5000, 5000)))
  assert counts.tolist() == [[25_000_000, 0, 0, 0]]
