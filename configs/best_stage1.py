"""The first stage of `best`: EfficientNet-Lite0 U-Net with a lung head, few films without infection.

python main.py --config=configs/best_stage1.py --config.dataset.manual_dir=FOLDER --workdir=runs/best_stage1

Validation (466 COVID-19 films, per-image mean, threshold 0.5): Dice 0.794, IoU 0.692; averaged with the
mirror image and bounded by the lungs 0.797 and 0.696. Best at epoch 16; no later one was better, and the run
was ended after 19 of 26, after 52 min on 2 CPU cores that had other work, too.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.image_size = 192
  config.num_epochs = 26
  config.dataset.cohort = "all"
  config.dataset.negative_share = 0.25
  config.model.name = "encoder_decoder"
  config.model.encoder = "efficientnet_lite0"
  config.model.encoder_weights = "imagenet"
  config.model.decoder_features = (128, 64, 32, 24)
  config.model.heads = ("infection", "lung")
  config.loss.name = "bce_dice"
  config.optimizer.name = "adamw"
  config.optimizer.schedule = "cosine"
  config.optimizer.warmup_epochs = 1.0
  config.optimizer.encoder_factor = 0.5
  config.optimizer.ema_decay = 0.995
  for name, probability in {
    "flip": 0.5,
    "rotation": 0.7,
    "scale": 0.7,
    "shift": 0.7,
    "elastic": 0.3,
    "brightness": 0.5,
    "contrast": 0.5,
    "gamma": 0.5,
  }.items():
    config.augment[name].probability = probability
  return config
