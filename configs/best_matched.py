"""The fifth stage of `best`: the same films with matched grey levels (model.levels), so that exposure does not count.

python main.py --config=configs/best_matched.py --config.dataset.manual_dir=FOLDER \
  --config.init_from=MODEL --config.loss.teacher=MODEL,MODEL
"""

from ml_collections import ConfigDict

from configs import best_student

# Probability and strength. What matching undoes is left out but for what it cannot: levels cut off at both ends.
_CHANGES = {
  "histogram": (0.0, 1.0),
  "brightness": (0.0, 0.1),
  "gamma": (0.0, 0.7),
  "contrast": (0.3, 0.5),
  "window": (0.2, 0.15),
  "noise": (0.35, 0.12),
  "blur": (0.2, 0.01),
  "resolution": (0.3, 0.6),
  "jpeg": (0.3, 0.95),
}


def get_config() -> ConfigDict:
  config = best_student.get_config()
  config.num_epochs = 10
  config.model.levels = "matched"
  config.optimizer.learning_rate = 4e-4
  for name, (probability, strength) in _CHANGES.items():
    config.augment[name] = ConfigDict({"probability": probability, "strength": strength})
  return config
