"""The fourth stage of `best`: films changed as other hospitals expose, scale and store them.

python main.py --config=configs/best_robust.py --config.dataset.manual_dir=FOLDER

Goes on from `best_involvement.py`. Of films with one clean lung, that lung is mirrored onto the other side at times, so
that films without infection come from the same hospitals as those with. 32 min on 2 CPU cores with other work. Alone
it falls to validation Dice 0.766; the mean of its weights, of those it started from and of two variants is what ships
(covseg/trained/released/best.md).
"""

from ml_collections import ConfigDict

from configs import best_involvement, default

# Probability and strength; equalisation, shot noise, frames and text are left to evaluation.
_CHANGES = {
  "symmetry": (0.5, 1.0),
  "histogram": (0.3, 1.0),
  "brightness": (0.3, 0.1),
  "contrast": (0.4, 0.4),
  "gamma": (0.5, 0.7),
  "window": (0.15, 0.15),
  "noise": (0.4, 0.12),
  "blur": (0.2, 0.01),
  "sharpen": (0.1, 2.0),
  "resolution": (0.3, 0.6),
  "spectrum": (0.3, 1.0),
  "jpeg": (0.3, 0.95),
}


def get_config() -> ConfigDict:
  config = best_involvement.get_config()
  config.init_from = "runs/best_involvement"
  config.num_epochs = 10
  config.model.heads = ("infection", "lung", "involvement")
  config.loss.involvement_weight = 0.2
  config.optimizer.only = ""
  config.optimizer.encoder_factor = 0.5
  config.optimizer.learning_rate = 4e-4
  config.optimizer.warmup_epochs = 0.5
  config.optimizer.ema_decay = 0.99
  default.set_augmentation(config, _CHANGES)
  return config
