import numpy as np
import pytest

from covseg.evaluation import surface
from covseg.evaluation.surface import border_distances


def _square(start, stop, size=16):
  mask = np.zeros((size, size), bool)
  mask[start:stop, start:stop] = True
  return mask


def test_hand_worked_case():
  # A square of 3x3 pixels, whose border is 8 of them, and the pixel in its middle.
  found = border_distances(_square(7, 8), _square(6, 9))
  assert found.of_prediction.tolist() == [1]
  assert sorted(found.of_truth) == pytest.approx([1] * 4 + [2**0.5] * 4)
  assert found.hd95_px() == pytest.approx(2**0.5)
  assert found.assd_px() == pytest.approx((1 + 4 + 4 * 2**0.5) / 9)
  assert found.nsd() == 1
  assert border_distances(_square(0, 1), _square(3, 4)).nsd() == 0


@pytest.mark.parametrize(
  ("prediction", "truth", "expected"),
  [
    (_square(0, 0), _square(0, 0), (0, 0, 1)),
    (_square(0, 0), _square(3, 6), (512**0.5, 512**0.5, 0)),  # Missed: the diagonal of 16 x 16 pixels.
    (_square(3, 6), _square(0, 0), (512**0.5, 512**0.5, 0)),
    (_square(0, 16), _square(0, 0), (512**0.5, 512**0.5, 0)),
    (_square(0, 16), _square(0, 16), (0, 0, 1)),
  ],
)
def test_empty_and_full_masks(prediction, truth, expected):
  found = border_distances(prediction, truth)
  assert (found.hd95_px(), found.assd_px(), found.nsd()) == pytest.approx(expected)


def _random_masks(count, size=40, dust=0.002):
  """Blobs of many shapes, some of which touch the edge, and a share of single pixels."""
  rng = np.random.default_rng(0)
  grid = np.arange(size)
  for _ in range(count):
    masks = []
    for _ in range(2):
      mask = rng.random((size, size)) < dust
      for row, column, radius in rng.integers([0, 0, 2], [size, size, 12], (3, 3)):
        mask |= (grid[:, None] - row) ** 2 + (grid - column) ** 2 <= radius**2
      masks.append(mask)
    yield masks


def test_agrees_with_monai():
  torch = pytest.importorskip("torch")
  monai = pytest.importorskip("monai.metrics")
  for prediction, truth in _random_masks(20):
    found = border_distances(prediction, truth)
    pair = [torch.tensor(mask[None, None].astype(np.float32)) for mask in (prediction, truth)]
    hausdorff = monai.compute_hausdorff_distance(*pair, include_background=True, percentile=95)
    average = monai.compute_average_surface_distance(*pair, include_background=True, symmetric=True)
    dice = monai.compute_surface_dice(*pair, [surface.TOLERANCE_PX], include_background=True)
    assert found.hd95_px() == pytest.approx(hausdorff.item(), rel=1e-5)
    assert found.assd_px() == pytest.approx(average.item(), rel=1e-5)
    assert found.nsd() == pytest.approx(dice.item(), rel=1e-5)


def test_is_near_to_deepminds_which_follows_the_border_between_pixels():
  library = pytest.importorskip("surface_distance")
  for prediction, truth in _random_masks(20, dust=0):
    found = border_distances(prediction, truth)
    distances = library.compute_surface_distances(truth, prediction, (1, 1))
    assert found.hd95_px() == pytest.approx(library.compute_robust_hausdorff(distances, 95), abs=1.5)
    pairs = [("distances_gt_to_pred", "surfel_areas_gt"), ("distances_pred_to_gt", "surfel_areas_pred")]
    values, lengths = (np.concatenate([distances[pair[i]] for pair in pairs]) for i in (0, 1))
    assert found.assd_px() == pytest.approx(np.average(values, weights=lengths), rel=0.15)


def test_pooled_borders_are_those_of_all_films_together():
  films = [border_distances(*masks) for masks in _random_masks(6)]
  films += [border_distances(_square(0, 0), _square(3, 6)), border_distances(_square(0, 0), _square(0, 0))]
  weights = np.array([[1] * 8, [2, 0, 0, 1, 0, 0, 3, 2]])
  pooled = {"hd95_px": surface.pooled_hd95, "assd_px": surface.pooled_assd, "nsd": surface.pooled_nsd}
  found = {name: function(films)(weights) for name, function in pooled.items()}
  for row, times in enumerate(weights):
    repeated = [film for film, n in zip(films, times, strict=True) for _ in range(n)]
    directions = [np.concatenate([getattr(film, name) for film in repeated]) for name in ("of_prediction", "of_truth")]
    every = np.concatenate(directions)
    hausdorff = max(np.percentile(d, 95, method="inverted_cdf") for d in directions)
    assert found["hd95_px"][row] == pytest.approx(hausdorff)
    assert found["assd_px"][row] == pytest.approx(every.mean())
    assert found["nsd"][row] == pytest.approx((every <= surface.TOLERANCE_PX).mean())
