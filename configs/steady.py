"""The second network of the default: one long training on films changed in all ways, from ImageNet weights.

python main.py --config=configs/steady.py --config.seed=3 --config.dataset.manual_dir=FOLDER --workdir=runs/steady

Films are exposed, scaled and stored as other hospitals might do it, and most are turned, scaled and bent a little. It
learns from COVID-19 films alone, with a head for whether each lung is infected, which `heads.py` fits again.

Validation (466 COVID-19 films, per-image mean, threshold 0.5): Dice 0.788, IoU 0.681, best at epoch 31. The run was
ended in epoch 65, after 9 min on a GPU that seven runs shared. An epoch takes about 2 min on 2 CPU cores.
"""

from ml_collections import ConfigDict

from configs import default, fast

# Probability and strength; equalisation, shot noise, frames and text are left to evaluation.
_CHANGES = {
  "symmetry": (0.25, 1.0),
  "rotation": (0.7, 12.0),
  "scale": (0.7, 0.15),
  "shift": (0.7, 0.06),
  "elastic": (0.3, 0.03),
  "histogram": (0.3, 1.0),
  "brightness": (0.3, 0.1),
  "contrast": (0.4, 0.4),
  "gamma": (0.5, 0.75),
  "window": (0.15, 0.15),
  "noise": (0.3, 0.12),
  "blur": (0.2, 0.01),
  "sharpen": (0.1, 2.0),
  "resolution": (0.25, 0.6),
  "spectrum": (0.25, 1.0),
  "jpeg": (0.25, 0.95),
}


def get_config() -> ConfigDict:
  config = fast.get_config()
  config.image_size = 192
  config.num_epochs = 70
  config.model.heads = ("infection", "lung", "involvement")
  config.optimizer.ema_decay = 0.997
  default.set_augmentation(config, _CHANGES)
  return config
