"""The third network of the default: the U-Net of `unet_strong.py`, longer, on films whose grey levels are changed.

python main.py --config=configs/unet_steady.py --config.dataset.manual_dir=FOLDER --workdir=runs/unet_steady

From scratch, on COVID-19 films alone, with a head for whether each lung is infected.

Validation (466 COVID-19 films, per-image mean, threshold 0.5): Dice 0.776, IoU 0.670, best at epoch 45. 5 min on a GPU
that seven runs shared. `unet_strong.py` has 0.787 there, and loses more where grey levels differ.
"""

from ml_collections import ConfigDict

from configs import unet_strong

# Probability and strength, of where things are and of grey levels alone; equalisation is left to evaluation.
_CHANGES = {
  "symmetry": (0.25, 1.0),
  "rotation": (0.7, 12.0),
  "scale": (0.7, 0.15),
  "shift": (0.7, 0.06),
  "elastic": (0.3, 0.03),
  "histogram": (0.4, 1.0),
  "brightness": (0.3, 0.1),
  "contrast": (0.4, 0.4),
  "gamma": (0.4, 0.7),
  "window": (0.15, 0.15),
}


def get_config() -> ConfigDict:
  config = unet_strong.get_config()
  config.num_epochs = 60
  config.model.heads = ("infection", "lung", "involvement")
  config.optimizer.ema_decay = 0.997
  for name, (probability, strength) in _CHANGES.items():
    config.augment[name] = ConfigDict({"probability": probability, "strength": strength})
  return config
