"""What the configuration of a training may hold, checked before anything is read or written."""

from ml_collections import ConfigDict

from covseg.configuration import check_ranges
from covseg.models import create_model, inference
from covseg.training import losses, optimizers
from input_pipeline import augmentation

_RANGES = {"seed": (0, None), "image_size": (16, None), "batch_size": (1, None), "num_epochs": (1, None)}


def check(config: ConfigDict) -> None:
  """Raises ValueError if a field has a value that cannot work, or no effect; the error names it and the choices."""
  check_ranges(config, "", _RANGES)
  check_ranges(config.dataset, "dataset.", {"negative_share": (0, 1)})
  create_model(config.model)
  if config.dataset.opacities:
    _check_opacities(config)
  if "presence" in config.model.heads and (not config.optimizer.only or "presence" in config.optimizer.only.split(",")):
    _check_presence(config)
  losses.check(config.loss, config.model.heads)
  optimizers.check(config.optimizer, config.model.heads, has_encoder=config.model.name == "encoder_decoder")
  augmentation.check(config.augment, config.model.heads)
  inference.check(config)


def _check_opacities(config: ConfigDict) -> None:
  if "involvement" not in config.model.heads or not config.loss.involvement_weight:
    raise ValueError(
      "dataset.opacities has no effect without the head 'involvement' (model.heads) and its "
      "loss.involvement_weight above 0."
    )
  if config.augment.symmetry.probability:
    raise ValueError("dataset.opacities needs augment.symmetry.probability=0: it can take the opacities away.")
  if config.dataset.name == "covid_qu_ex" and config.dataset.cohort != "all":
    raise ValueError(f"dataset.opacities needs films of all classes: dataset.cohort=all, not {config.dataset.cohort}.")


def _check_presence(config: ConfigDict) -> None:
  if config.dataset.name in ("covid_qu_ex", "cxr_phantom", "folder") and config.dataset.cohort == "covid":
    raise ValueError(
      "The head 'presence' (model.heads) learns from films with and without infection: dataset.cohort=all, not covid."
    )
  if config.batch_size == 1:
    raise ValueError("The head 'presence' (model.heads) compares the films of a batch: batch_size=2 or more.")
