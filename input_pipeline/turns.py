"""Quarter turns and mirroring, which bring a film upright and a mask back."""

from typing import NamedTuple

import numpy as np


class Turn(NamedTuple):
  """A film is mirrored, left to right, and then turned by quarters, counter-clockwise."""

  quarters: int = 0
  mirrored: bool = False

  def apply(self, film: np.ndarray) -> np.ndarray:
    """The film (H, W) after the turn, (H, W) or (W, H)."""
    return np.rot90(film[:, ::-1] if self.mirrored else film, self.quarters)

  def undo(self, film: np.ndarray) -> np.ndarray:
    """The film before the turn, of the one after."""
    film = np.rot90(film, -self.quarters)
    return film[:, ::-1] if self.mirrored else film


UPRIGHT = Turn()

# By the value of the EXIF tag Orientation.
EXIF_TURNS = {
  2: Turn(0, True),
  3: Turn(2),
  4: Turn(2, True),
  5: Turn(1, True),
  6: Turn(3),
  7: Turn(3, True),
  8: Turn(1),
}


def from_patient_orientation(rightwards: str, downwards: str) -> Turn:
  """The turn after which the patient's left is on the right of the film and the feet are below.

  Args:
    rightwards: where in the patient the rows run to: L, R, H or F.
    downwards: where the columns run to.

  Raises:
    ValueError: the directions do not lie in a frontal plane.
  """
  if (rightwards in "LR") == (downwards in "LR") or {rightwards, downwards} - set("LRHF"):
    raise ValueError(f"Patient Orientation {rightwards}, {downwards} is not of a frontal film")
  across, down = np.array([[0, 1], [0, 1]]), np.array([[0, 0], [1, 1]])
  places = {"L": across, "R": 1 - across, "F": down, "H": 1 - down}
  # How far each pixel lies to the patient's left, and how far to the feet.
  left, foot = (across, down) if rightwards in "LR" else (down, across)
  left = left if "L" in (rightwards, downwards) else 1 - left
  foot = foot if "F" in (rightwards, downwards) else 1 - foot
  turns = [Turn(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]
  return next(
    turn
    for turn in turns
    if np.array_equal(turn.apply(left), places["L"]) and np.array_equal(turn.apply(foot), places["F"])
  )
