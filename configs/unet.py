"""U-Net as the paper trains it: BCE, Adam at a fixed rate, 256x256, COVID-19 films only.

python main.py --config=configs/unet.py --workdir=runs/unet

Test (583 COVID-19 films, per-image mean, threshold 0.5) after 12 epochs (--config.num_epochs=12), the tenth kept: Dice
0.746, IoU 0.634; validation 0.764. 2 min on an NVIDIA H200 beside other runs; about 2 h on 2 CPU cores. The rate is
fixed: validation swung by 0.03 between epochs here, by 0.1 and more in docs/ablation.md.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  return default.get_config()
