"""The fifth stage of `best`: soft masks from other networks, films changed less often, some Normal films.

python main.py --config=configs/best_student.py --config.dataset.manual_dir=FOLDER \
  --config.init_from=MODEL --config.loss.teacher=MODEL,MODEL

Validation Dice 0.778 (466 COVID-19 films, mirrored, bounded by the lungs), after 8 epochs, 24 min on 2 CPU cores with
other work, from the mean of three networks, taught by two (D of docs/earlier_trials.md, where longer runs are, too).
"""

from ml_collections import ConfigDict

from configs import best_robust, default

# Probability and strength; equalisation, shot noise, frames and text are left to evaluation.
_CHANGES = {
  "symmetry": (0.25, 1.0),
  "histogram": (0.2, 1.0),
  "brightness": (0.3, 0.1),
  "contrast": (0.3, 0.4),
  "gamma": (0.4, 0.7),
  "window": (0.1, 0.15),
  "noise": (0.3, 0.12),
  "blur": (0.15, 0.01),
  "sharpen": (0.1, 2.0),
  "resolution": (0.25, 0.6),
  "spectrum": (0.25, 1.0),
  "jpeg": (0.25, 0.95),
}


def get_config() -> ConfigDict:
  config = best_robust.get_config()
  config.init_from = "runs/best_robust"
  config.num_epochs = 8
  config.dataset.cohort = "covid_normal"
  config.dataset.negative_share = 0.15
  config.loss.teacher = "runs/best_robust"
  config.optimizer.learning_rate = 3e-4
  default.set_augmentation(config, _CHANGES)
  return config
