"""The second network of the default: nearly as good as `best` alone, and steadier where grey levels change.

python main.py --config=configs/steady.py --config.dataset.manual_dir=FOLDER --workdir=runs/steady

`configs/fast.py` at 160 px, longer, with a head for whether each lung is infected, on films whose grey levels are moved
further: towards those of other films, by gamma, contrast and windows. It learns from COVID-19 films alone.

Validation (466 COVID-19 films, per-image mean, threshold 0.5): Dice 0.781, IoU 0.674, best at epoch 14. 26 min on 2 CPU
cores that had other work, too.
"""

from ml_collections import ConfigDict

from configs import fast

# Probability and strength; equalisation, shot noise, frames and text are left to evaluation.
_CHANGES = {
  "symmetry": (0.25, 1.0),
  "histogram": (0.4, 1.0),
  "contrast": (0.4, 0.4),
  "gamma": (0.4, 0.6),
  "window": (0.15, 0.15),
}


def get_config() -> ConfigDict:
  config = fast.get_config()
  config.image_size = 160
  config.num_epochs = 16
  config.model.heads = ("infection", "lung", "involvement")
  config.optimizer.ema_decay = 0.995
  for name, (probability, strength) in _CHANGES.items():
    config.augment[name] = ConfigDict({"probability": probability, "strength": strength})
  return config
