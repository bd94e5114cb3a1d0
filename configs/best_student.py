"""The last stage of `best`: from the weights so far on, with masks made soft by what several networks predict.

python main.py --config=configs/best_student.py --config.dataset.manual_dir=FOLDER --config.loss.teacher=MODEL,MODEL,...

Goes on from `best_robust.py`, on films changed less often, but with wider gamma and windows, with a few Normal films.
"""

from ml_collections import ConfigDict

from configs import best_robust

# Probability and strength; equalisation, shot noise, frames and text are left to evaluation.
_CHANGES = {
  "symmetry": (0.25, 1.0),
  "histogram": (0.25, 1.0),
  "brightness": (0.3, 0.1),
  "contrast": (0.3, 0.4),
  "gamma": (0.5, 0.85),
  "window": (0.15, 0.2),
  "noise": (0.3, 0.12),
  "blur": (0.15, 0.01),
  "sharpen": (0.1, 2.0),
  "resolution": (0.25, 0.6),
  "spectrum": (0.2, 1.0),
  "jpeg": (0.25, 0.95),
}


def get_config() -> ConfigDict:
  config = best_robust.get_config()
  config.init_from = "runs/best_robust"
  config.num_epochs = 12
  config.dataset.cohort = "covid_normal"
  config.dataset.negative_share = 0.15
  config.loss.teacher = "runs/best_robust"
  for name, (probability, strength) in _CHANGES.items():
    config.augment[name] = ConfigDict({"probability": probability, "strength": strength})
  return config
