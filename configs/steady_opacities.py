"""The last stage of `steady`: its head "involvement", fitted again with films of all classes.

python main.py --config=configs/steady_opacities.py --config.dataset.manual_dir=FOLDER

Only that head learns, on frozen features. COVID-19 films teach it whether each lung is infected; the others, whether a
film has opacities. Films with another pneumonia and normal ones come largely from the same hospitals, so where a film
comes from does not tell them apart. 9 min on 2 CPU cores; what it changes is in docs/ablation.md.
"""

from ml_collections import ConfigDict

from configs import steady


def get_config() -> ConfigDict:
  config = steady.get_config()
  config.init_from = "runs/steady"
  config.num_epochs = 10
  config.dataset.cohort = "all"
  config.dataset.opacities = ("Non-COVID",)
  config.model.encoder_weights = ""
  config.loss.involvement_weight = 1.0
  config.optimizer.only = "involvement"
  config.optimizer.encoder_factor = 1.0
  config.optimizer.learning_rate = 5e-3
  config.optimizer.ema_decay = 0.998
  config.augment.symmetry.probability = 0.0  # It would take the opacities away from some films that have them.
  return config
