import io

import numpy as np
import pytest
from PIL import Image

from covseg.dataset.duplicates import Pair, find_duplicates, laid_on_second
from input_pipeline.covid_qu_ex import archive
from input_pipeline.cxr_phantom import phantom


def _copy(image, rng, shift, scale, mirrored):
  """The film scaled about its centre, shifted, brightened, and encoded as JPEG, by Pillow alone."""
  source = Image.fromarray(image[:, ::-1] if mirrored else image)
  x, y = (128 - (128 + s) / scale for s in shift)
  moved = source.transform((256, 256), Image.Transform.AFFINE, (1 / scale, 0, x, 0, 1 / scale, y), 2)
  brighter = 255 * (np.asarray(moved) / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.8, 1.1)
  file = io.BytesIO()
  exposed = np.clip(brighter + rng.uniform(0, 40), 0, 255).astype(np.uint8)
  Image.fromarray(exposed).save(file, format="JPEG", quality=int(rng.integers(50, 90)))
  return np.asarray(Image.open(file))


def _planted(films, count, seed):
  rng = np.random.default_rng(seed)
  chosen = rng.choice(len(films), count, replace=False)
  how = [(rng.uniform(-8, 8, 2), rng.uniform(0.95, 1.05), bool(rng.integers(2))) for _ in chosen]
  copies = np.stack([_copy(films[i], rng, *h) for i, h in zip(chosen, how, strict=True)])
  return chosen, how, copies


@pytest.fixture(scope="module")
def phantoms():
  return np.stack([phantom.draw((7, i), infected=i % 2 == 0).image for i in range(60)])


def test_altered_copies_are_found_and_nothing_else(phantoms):
  chosen, how, copies = _planted(phantoms, 20, seed=0)
  pairs = find_duplicates(np.concatenate([phantoms, copies]))
  assert {(pair.first, pair.second) for pair in pairs} == {(60 + k, i) for k, i in enumerate(chosen)}
  for pair in pairs:
    shift, scale, mirrored = how[pair.first - 60]
    assert pair.mirrored == mirrored
    # The copy is brought back: the inverse scale, and the inverse shift (mirrored, its x as it was).
    assert pair.scale == pytest.approx(1 / scale, abs=0.02)
    back = -shift / scale * ([-1, 1] if mirrored else [1, 1])
    assert np.allclose([pair.shift_x, pair.shift_y], back, atol=3)


def test_a_film_lies_on_its_copy_where_the_pair_says(phantoms):
  mask = phantom.draw((7, 0), infected=True).infection_mask
  pair = Pair(0, 1, 1.0, 6.0, -4.0, 1.0, True, False)
  expected = np.zeros_like(mask)
  expected[:-4, 6:] = mask[:, ::-1][4:, :-6]
  assert (laid_on_second(mask, pair) == expected).all()


def test_equal_films_are_exact_pairs_and_uniform_ones_no_trouble(phantoms):
  black = np.zeros((2, 256, 256), np.uint8)
  grey = np.full((1, 256, 256), 128, np.uint8)
  pairs = find_duplicates(np.concatenate([phantoms[:5], phantoms[1:2], black, grey]))
  assert {pair[:2] for pair in pairs} == {(5, 1), (7, 6)}
  assert all(pair.is_exact and pair.correlation == 1 for pair in pairs)
  assert find_duplicates(phantoms[:1]) == []


def test_planted_copies_among_real_films(real_data):
  """Recall of 95 %, and at most 1 % of the films in pairs that are none."""
  opened = archive.Archive(real_data)
  listed = opened.films(("COVID-19",))["validation"][:240]
  films = np.stack([np.asarray(Image.open(io.BytesIO(opened.read(film)["image"]))) for film in listed])
  chosen, _, copies = _planted(films, 80, seed=1)
  pairs = [pair[:2] for pair in find_duplicates(np.concatenate([films, copies]))]
  own = {frozenset(pair) for pair in pairs if pair[0] < 240}  # Copies that the dataset has itself.
  expected = {(240 + k, i) for k, i in enumerate(chosen)}
  assert len(expected & set(pairs)) >= 0.95 * len(expected)
  original = [*range(240), *chosen]
  false = [
    (i, j)
    for i, j in pairs
    if i >= 240 and original[i] != original[j] and frozenset((original[i], original[j])) not in own
  ]
  assert len(false) <= 0.01 * len(original)
  assert len(own) <= 6  # Looked at: the same film, or the same patient.
