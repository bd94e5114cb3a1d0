"""The best that trains in 30 minutes on 2 CPU cores: EfficientNet-Lite0 U-Net, three heads, 12 epochs.

python main.py --config=configs/fast.py --config.dataset.manual_dir=FOLDER --workdir=runs/fast
"""

from ml_collections import ConfigDict

from configs import best


def get_config() -> ConfigDict:
  config = best.get_config()
  config.num_epochs = 12
  config.dataset.negative_share = 0.5
  config.model.heads = ("infection", "lung", "presence")
  config.augment.blur.probability = 0.3
  return config
