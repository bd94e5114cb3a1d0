"""Heads that predict no pixels: "presence" against its definition in numpy, and what "involvement" sees."""

import jax
import numpy as np

from covseg.models.heads import Heads

_SIDES_AND_CHANNELS = ((16, 3), (8, 5), (4, 7))


def _with(*names):
  """Heads, their variables, and features of four films: the decoder's and the encoder's."""
  rng = np.random.default_rng(0)
  encoded = [rng.normal(3, 2, (4, side, side, channels)).astype(np.float32) for side, channels in _SIDES_AND_CHANNELS]
  decoded = rng.normal(size=(4, 16, 16, 4)).astype(np.float32)
  heads = Heads(names)
  return heads, heads.init(jax.random.key(0), decoded, encoded), decoded, encoded


def test_presence_is_linear_in_normalised_means_maxima_and_deviations_of_all_encoded_features():
  heads, variables, decoded, encoded = _with("infection", "presence")
  pooled = np.concatenate([pool(x, axis=(1, 2)) for x in encoded for pool in (np.mean, np.max, np.std)], axis=-1)
  kernel, bias = (variables["params"]["presence"][name] for name in ("kernel", "bias"))
  mean, var = pooled.mean(axis=0), pooled.var(axis=0)
  of_batch = (pooled - mean) / np.sqrt(var + 1e-5) @ kernel[0, 0] + bias
  learning, updated = heads.apply(variables, decoded, encoded, mutable=["batch_stats"])
  np.testing.assert_allclose(learning["presence"][:, 0, 0], of_batch, rtol=1e-3, atol=1e-4)
  statistics = updated["batch_stats"]["presence_norm"]
  np.testing.assert_allclose(statistics["mean"], 0.1 * mean, rtol=1e-4)
  np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * var, rtol=1e-4)
  known = {"params": variables["params"], "batch_stats": {"presence_norm": {"mean": mean, "var": var}}}
  np.testing.assert_allclose(heads.apply(known, decoded, encoded)["presence"][:, 0, 0], of_batch, rtol=1e-3, atol=1e-4)


def test_involvement_sees_the_two_coarsest_of_the_encoded_features():
  heads, variables, decoded, encoded = _with("infection", "lung", "involvement")
  before = heads.apply(variables, decoded, encoded)["involvement"]
  for i, changes in enumerate((False, True, True)):
    others = [x + 1 if i == j else x for j, x in enumerate(encoded)]
    np.testing.assert_array_equal(heads.apply(variables, decoded, others)["involvement"] != before, changes)
