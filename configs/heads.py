"""The last stage of `best` and `steady`: whether a film shows an infection, learnt on frozen features.

python main.py --config=configs/heads.py --config.dataset.manual_dir=FOLDER --workdir=runs/steady_heads

Goes on from the run of `steady.py`; for `best`, --config.init_from is the mean of its trainings. Only two heads learn,
from changed films of all classes. "involvement" is for any film. It learns from COVID-19 films whether each lung is
infected, and from the other two classes whether the film has opacities: these two are hard to tell apart by how a film
was stored, COVID-19 films are easy to tell from both (docs/dataset.md). "presence" is for the published protocol alone:
it learns which class of COVID-QU-Ex a film is of, and so its hospitals. In the models that ship, it was fitted exactly
instead, by a script (docs/other_hospitals.md).

Masks do not change, so validation Dice is the same in every epoch, and the last one is kept. 16 min a network on 2 CPU
cores. `release` then sets how the network predicts; the commands are in covseg/trained/released/best.md and steady.md.
"""

from ml_collections import ConfigDict

from configs import default

# Probability and strength; about a tenth of the films stay as they are. Equalisation, shot noise, frames and text are
# left to evaluation.
_CHANGES = {
  "flip": (0.5, 1.0),
  "histogram": (0.15, 1.0),
  "brightness": (0.25, 0.1),
  "contrast": (0.25, 0.4),
  "gamma": (0.3, 0.7),
  "window": (0.1, 0.15),
  "noise": (0.3, 0.12),
  "blur": (0.15, 0.01),
  "sharpen": (0.1, 2.0),
  "resolution": (0.2, 0.6),
  "spectrum": (0.1, 1.0),
  "jpeg": (0.2, 0.95),
}


def get_config() -> ConfigDict:
  config = default.get_config()
  config.init_from = "runs/steady"
  config.image_size = 192
  config.num_epochs = 20
  config.dataset.cohort = "all"
  config.dataset.negative_share = 0.5
  config.dataset.opacities = ("Non-COVID",)
  config.model.name = "encoder_decoder"
  config.model.encoder = "efficientnet_lite0"
  config.model.decoder_features = (128, 64, 32, 24)
  config.model.heads = ("infection", "lung", "involvement", "presence")
  config.loss.name = "bce_dice"
  config.loss.involvement_weight = 1.0
  config.loss.presence_weight = 1.0
  config.optimizer.name = "adamw"
  config.optimizer.schedule = "cosine"
  config.optimizer.only = "involvement,presence"
  config.optimizer.learning_rate = 1e-2
  config.optimizer.ema_decay = 0.999
  default.set_augmentation(config, _CHANGES)
  return config
