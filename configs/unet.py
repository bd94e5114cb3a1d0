"""U-Net as the paper trains it: BCE, Adam at a fixed rate, 256x256, COVID-19 films only.

python main.py --config=configs/unet.py --workdir=runs/unet

"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  return default.get_config()
