"""FPN over DenseNet-121, an architecture of Tahir et al. 2021; 9.3 M parameters.

python main.py --config=configs/densenet121_fpn.py --workdir=runs/densenet121_fpn

https://doi.org/10.1016/j.compbiomed.2021.105002. Trained as configs/unet.py is, from scratch; from
ImageNet weights with --config.model.encoder_weights=FILE, a file made by python -m covseg import-weights. What it
reaches was not measured.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
  config = default.get_config()
  config.model.name = "encoder_decoder"
  config.model.encoder = "densenet121"
  config.model.decoder = "fpn"
  return config
