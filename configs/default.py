"""Every field of a configuration, with its default. The experiments beside this file change some.

A field is overridden on the command line, as in --config.model.base_features=16.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()

  # Initial weights and the order of the films follow from it.
  config.seed = 0
  # Side of the network's input in pixels; films are scaled to it.
  config.image_size = 256
  config.batch_size = 16
  config.num_epochs = 50

  config.dataset = dataset = ConfigDict()
  # covid_qu_ex, cxr_phantom, or a Python module that defines a TFDS builder.
  dataset.name = "covid_qu_ex"
  # Where records are kept; empty for ~/tensorflow_datasets.
  dataset.data_dir = ""
  # Folder of the downloaded archive; empty for downloads/manual under data_dir.
  dataset.manual_dir = ""
  # covid: COVID-19 films only. all: Non-COVID and Normal films too.
  dataset.cohort = "covid"
  dataset.image_key = "image"
  dataset.mask_key = "infection_mask"
  # Feature of the lungs' mask; a dataset need not have it.
  dataset.lung_mask_key = "lung_mask"
  # Training films that take more than this in memory are read from disk as they are needed. A film
  # takes 2 bytes a pixel, so that this is about 60,000 films of 256x256.
  dataset.memory_limit_gb = 8.0

  config.model = model = ConfigDict()
  model.name = "unet"
  # Channels of the first level; each level below has twice as many.
  model.base_features = 32
  # Type of the computation: float32, or bfloat16 for speed on accelerators.
  model.dtype = "float32"
  # unet_baseline: share of the values dropped in training at the end of the contracting path.
  model.dropout = 0.5
  # unet_plus_plus: 1 to 4 predicts from a U-Net of that depth, and computes no more; 0 from all.
  model.prune_to = 0
  # resnet_unet: resnet18, resnet34 or resnet50.
  model.encoder = "resnet34"
  # Networks over an encoder: unet or fpn.
  model.decoder = "unet"
  # Networks over an encoder: file of weights it starts from, made by `python -m covseg import-weights`.
  model.encoder_weights = ""

  config.loss = loss = ConfigDict()
  loss.name = "bce"

  config.optimizer = optimizer = ConfigDict()
  optimizer.name = "adam"
  optimizer.learning_rate = 1e-3

  config.eval = evaluation = ConfigDict()
  # Side at which masks are compared, in pixels: that of the stored masks of COVID-QU-Ex.
  evaluation.image_size = 256
  evaluation.batch_size = 16
  # A pixel is called infected where its probability is above it.
  evaluation.threshold = 0.5

  return config.lock()
