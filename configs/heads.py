"""The last stage of `best` and `steady`: whether a film shows an infection, learnt on frozen features.

python main.py --config=configs/heads.py --config.dataset.manual_dir=FOLDER --workdir=runs/steady_heads

Goes on from the run of `steady.py`; for `best`, --config.init_from is the mean of its trainings. Only two heads learn,
from changed films of all classes. "involvement" is for any film. It learns from COVID-19 films whether each lung is
infected, and from the other two classes whether the film has opacities: these two are hard to tell apart by how a film
was stored, COVID-19 films are easy to tell from both (docs/dataset.md). "presence" is for the published protocol alone:
it learns which class of COVID-QU-Ex a film is of, and so its hospitals.

Masks do not change, so validation Dice is the same in every epoch, and the last one is kept. 16 min a network on 2 CPU
cores. `release` then sets how the network predicts; the commands are in covseg/trained/released/best.md and steady.md.
"""

from ml_collections import ConfigDict

from configs import best_involvement


def get_config() -> ConfigDict:
  config = best_involvement.get_config()
  config.init_from = "runs/steady"
  config.num_epochs = 20
  config.dataset.cohort = "all"
  config.dataset.negative_share = 0.5
  config.dataset.opacities = ("Non-COVID",)
  config.loss.presence_weight = 1.0
  config.optimizer.only = "involvement,presence"
  config.optimizer.learning_rate = 1e-2
  config.optimizer.ema_decay = 0.999
  config.eval.flip = config.eval.lung_only = False  # Validation has nothing to choose.
  for change in config.augment.values():
    change.probability /= 2  # About a tenth of the films then stay as they are.
  config.augment.flip.probability = 0.5
  for name in ("rotation", "scale", "shift", "elastic"):
    config.augment[name].probability = 0.0
  return config
