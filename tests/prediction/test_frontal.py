"""How far pictures are from frontal chest films."""

import io
import re
import zipfile

import numpy as np
import pytest
import sklearn.decomposition
from PIL import Image

from covseg.prediction import fit_frontal, frontal
from input_pipeline.cxr_phantom import phantom


def test_distances_are_those_of_probabilistic_principal_components():
  rng = np.random.default_rng(0)
  films = rng.integers(0, 256, (600, 16, 16), dtype=np.uint8)
  lungs = rng.random((600, 16, 16)) < 0.3
  model = fit_frontal.fit(films, lungs)
  features = np.stack([frontal.features(*pair) for pair in zip(films, lungs, strict=True)])
  found = frontal.squared_distances(model, features)
  expected = sklearn.decomposition.PCA(48, svd_solver="full").fit(features).score_samples(features)
  expected = -2 * expected  # Up to a constant, and to N / (N - 1) in the variances.
  np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=2e-2 * found.std())
  assert (found > model["bound"]).mean() == pytest.approx(0.022, abs=2e-3)


@pytest.fixture(scope="module")
def real(real_data):
  """About a hundred validation films, uint8, and the lungs on them, bool, both (N, 256, 256)."""
  with zipfile.ZipFile(next(real_data.glob("*.zip"))) as archive:
    names = [name for name in archive.namelist() if re.search(r"/Val/.*/images/.*\.png$", name)]
    names = names[:: len(names) // 100]
    read = lambda name: np.asarray(Image.open(io.BytesIO(archive.read(name))))  # noqa: E731
    films = np.stack([read(name) for name in names])
    return films, np.stack([read(name.replace("/images/", "/lung masks/")) > 0 for name in names])


def _share_far(films, lungs):
  return np.mean([frontal.distance(*pair) > 1 for pair in zip(films, lungs, strict=True)])


def test_frontal_films_are_near_whatever_their_grey_levels(real):
  films, lungs = real
  noise = np.random.default_rng(0).normal(0, 15, films.shape)
  assert _share_far(films, lungs) < 0.03
  assert _share_far((255 * (films / 255) ** 2).astype(np.uint8), lungs) < 0.03
  assert _share_far(np.clip(films + noise, 0, 255).astype(np.uint8), lungs) < 0.03


@pytest.mark.parametrize(
  ("name", "part"),
  [
    ("a corner", np.s_[:, :128, :128]),
    ("turned", np.s_[:, ::-1]),
  ],
)
def test_other_pictures_are_far(real, name, part):
  films, lungs = (array[part] for array in real)
  assert _share_far(films, lungs) > 0.9


def test_synthetic_films_are_near():
  drawn = [phantom.draw((1, i), infected=i % 2 == 0) for i in range(20)]
  assert _share_far([film.image for film in drawn], [film.lung_mask for film in drawn]) <= 0.1
