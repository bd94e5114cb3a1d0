"""The paper's U-Net trained from scratch as well as 2 CPU cores allow: half as wide, 160 px, 18 epochs.

python main.py --config=configs/unet_strong.py --config.dataset.manual_dir=FOLDER --workdir=runs/unet_strong
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.image_size = 160
  config.num_epochs = 18
  config.model.base_features = 16
  config.model.heads = ("infection", "lung")
  config.loss.name = "bce_dice"
  config.optimizer.name = "adamw"
  config.optimizer.learning_rate = 2e-3
  config.optimizer.schedule = "cosine"
  config.optimizer.warmup_epochs = 1.0
  config.optimizer.ema_decay = 0.99
  for name, probability in {
    "flip": 0.5,
    "rotation": 0.5,
    "scale": 0.5,
    "shift": 0.5,
    "brightness": 0.3,
    "contrast": 0.3,
    "gamma": 0.3,
  }.items():
    config.augment[name].probability = probability
  return config
