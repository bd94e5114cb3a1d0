import dataclasses

import numpy as np
import pytest

from covseg.severity import severity, split_lungs


def _two_lungs():
  """Lungs of 2 x 6 pixels in the columns 1-2 (the patient's right) and 5-6 (his left)."""
  lungs = np.zeros((8, 8), bool)
  lungs[1:7, 1:3] = lungs[1:7, 5:7] = True
  return lungs


def test_hand_worked_case():
  infection = np.zeros((8, 8), bool)
  infection[1:3, 1:3] = True  # All of the patient's right upper zone.
  infection[5, 5] = True  # One pixel of four of his left lower zone.
  infection[0, 0] = infection[7] = True  # Outside the lungs.
  found = dataclasses.asdict(severity(infection, _two_lungs()))
  assert found == {
    "percent": pytest.approx(100 * 5 / 24),
    "right": pytest.approx(100 * 4 / 12),
    "left": pytest.approx(100 * 1 / 12),
    "right_upper": 100,
    "right_middle": 0,
    "right_lower": 0,
    "left_upper": 0,
    "left_middle": 0,
    "left_lower": 25,
  }


def test_no_lung_has_no_percent():
  nothing = np.zeros((8, 8), bool)
  assert set(dataclasses.astuple(severity(~nothing, nothing))) == {None}


@pytest.mark.parametrize(("columns", "with_lung"), [(slice(0, 3), "right"), (slice(5, 8), "left")])
def test_a_lung_alone_is_told_by_its_side(columns, with_lung):
  lungs = np.zeros((8, 8), bool)
  lungs[:, columns] = True
  found = severity(lungs, lungs)
  other = {"right": "left", "left": "right"}[with_lung]
  assert (found.percent, getattr(found, with_lung), getattr(found, other)) == (100, 100, None)


def test_lungs_that_touch_are_cut_where_they_are_narrowest():
  lungs = _two_lungs()
  lungs[4, 3:5] = True
  right, left = split_lungs(lungs)
  assert right.sum() + left.sum() == lungs.sum()
  assert right[:, 1:3].sum() == left[:, 5:7].sum() == 12


def test_lungs_that_reach_over_the_middle_stay_whole_and_crumbs_go_to_the_nearer():
  lungs = np.zeros((20, 20), bool)
  lungs[2:18, 2:12] = True  # Over the middle of a rotated film.
  lungs[2:18, 14:19] = True
  lungs[19, 0] = lungs[19, 19] = True
  right, left = split_lungs(lungs)
  assert right.sum() == 16 * 10 + 1
  assert left.sum() == 16 * 5 + 1
