import numpy as np
import pytest
import sklearn.metrics
from scipy import stats

from covseg.evaluation import statistics

_ONCE = np.ones((1, 30))


def test_intervals_agree_with_scipy_and_follow_from_the_seed():
  values = np.random.default_rng(1).normal(0.7, 0.2, 200)
  found = statistics.estimate(statistics.means({"dice": values}), 200)
  assert found["dice"] == pytest.approx(values.mean())
  theirs = stats.bootstrap([values], np.mean, n_resamples=2000, method="percentile", rng=0)
  assert found["intervals"]["dice"] == pytest.approx(list(theirs.confidence_interval), abs=0.004)
  assert statistics.estimate(statistics.means({"dice": values}), 200) == found
  assert statistics.estimate(statistics.means({"dice": values}), 200, resamples=0).keys() == {"dice"}


def test_nothing_has_no_mean_and_no_interval():
  found = statistics.estimate(statistics.means({"dice": np.zeros(0)}), 0)
  assert found == {"dice": None, "intervals": {"dice": None}}


def test_auc_agrees_with_scikit_learn():
  rng = np.random.default_rng(0)
  scores, positive = rng.integers(0, 8, 30), rng.random(30) < 0.5  # Many ties.
  auc = statistics.auc(scores, positive)
  assert auc(_ONCE)[0] == pytest.approx(sklearn.metrics.roc_auc_score(positive, scores))
  weights = rng.integers(0, 3, (1, 30)).astype(float)
  theirs = sklearn.metrics.roc_auc_score(positive, scores, sample_weight=weights[0])
  assert auc(weights)[0] == pytest.approx(theirs)
  assert np.isnan(statistics.auc(scores, np.ones(30, bool))(_ONCE)[0])


def test_rank_correlation_agrees_with_scipy_on_films_that_are_repeated():
  rng = np.random.default_rng(0)
  x, y = rng.integers(0, 6, 40) / 2, rng.normal(size=40).round(1)
  times = rng.integers(0, 4, (5, 40))
  found = statistics.rank_correlation(x, y)(times.astype(float))
  expected = [stats.spearmanr(np.repeat(x, row), np.repeat(y, row))[0] for row in times]
  np.testing.assert_allclose(found, expected, rtol=1e-12)
  assert np.isnan(statistics.rank_correlation(x, np.ones(40))(np.ones((1, 40)))).all()


def test_agreement_agrees_with_an_analysis_of_variance():
  rng = np.random.default_rng(0)
  truth = rng.uniform(0, 100, 30)
  prediction = 0.9 * truth + rng.normal(5, 8, 30)
  found = {name: value[0] for name, value in statistics.agreement(truth, prediction)(_ONCE).items()}
  assert found["mean_absolute_error"] == pytest.approx(sklearn.metrics.mean_absolute_error(truth, prediction))
  differences = prediction - truth
  limits = differences.mean() + 1.96 * differences.std(ddof=1) * np.array([-1, 1])
  assert found["bias"] == pytest.approx(differences.mean())
  assert [found["lower_limit"], found["upper_limit"]] == pytest.approx(limits)

  # The two-way table of Shrout and Fleiss (1979): n targets, k = 2 judges.
  table = np.stack([truth, prediction], axis=1)
  n, k = table.shape
  rows, judges, grand = table.mean(axis=1), table.mean(axis=0), table.mean()
  between = k * ((rows - grand) ** 2).sum() / (n - 1)
  judge = n * ((judges - grand) ** 2).sum() / (k - 1)
  residual = ((table - rows[:, None] - judges + grand) ** 2).sum() / ((n - 1) * (k - 1))
  icc = (between - residual) / (between + (k - 1) * residual + k * (judge - residual) / n)
  assert found["icc"] == pytest.approx(icc)


def test_perfect_agreement():
  truth = np.arange(30.0)
  found = statistics.agreement(truth, truth)(_ONCE)
  assert {name: value[0] for name, value in found.items()} == pytest.approx(
    {"mean_absolute_error": 0, "icc": 1, "bias": 0, "lower_limit": 0, "upper_limit": 0}
  )


def test_the_lowest_scores_may_be_infinite():
  scores, positive = np.array([-np.inf, -np.inf, 1.0, 2.0, np.inf]), np.array([True, False, False, True, True])
  expected = sklearn.metrics.roc_auc_score(positive, np.array([0, 0, 1, 2, 3]))
  assert statistics.auc(scores, positive)(np.ones((1, 5)))[0] == pytest.approx(expected)


def test_many_films_are_resampled_a_few_at_a_time(monkeypatch):
  values = np.random.default_rng(3).random(50)
  at_once = statistics.estimate(statistics.means({"mean": values}), 50)
  monkeypatch.setattr(statistics, "_WEIGHTS_AT_ONCE", 130)
  found = statistics.estimate(statistics.means({"mean": values}), 50)
  assert found["intervals"]["mean"] == pytest.approx(at_once["intervals"]["mean"], abs=1e-12)
