"""Every field of a configuration, with its default. The experiments beside this file change some.

A field is overridden on the command line, as in --config.model.base_features=16.
"""

from collections.abc import Mapping

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()

  # Initial weights, the order of the films, augmentation and dropout follow from it.
  config.seed = 0
  # Weights to start from: a workdir, a file of `release`, or the name of released weights; empty for none.
  config.init_from = ""
  # Side of the network's input in pixels; films are scaled to it.
  config.image_size = 256
  config.batch_size = 16
  config.num_epochs = 50

  config.dataset = dataset = ConfigDict()
  # covid_qu_ex, cxr_phantom, folder, or a Python module that defines a TFDS builder.
  dataset.name = "covid_qu_ex"
  # Where records are kept; empty for ~/tensorflow_datasets.
  dataset.data_dir = ""
  # Folder of the downloaded archive; empty for downloads/manual under data_dir, or where kagglehub leaves it.
  dataset.manual_dir = ""
  # covid: COVID-19 films only. all: Non-COVID and Normal films too. covid_normal, of covid_qu_ex: without the
  # Non-COVID films, whose lungs have opacities that no mask marks.
  dataset.cohort = "covid"
  # Classes whose lungs have opacities that no mask marks: ("Non-COVID",) for covid_qu_ex with cohort all. The head
  # "involvement" then learns from the films without infection, too, by whether their class is one of these, and they
  # do not train the mask of infection.
  dataset.opacities = ()
  # Part of the training films without infection that an epoch holds, others in each epoch.
  dataset.negative_share = 1.0
  # Features of the image and of its infection mask.
  dataset.image_key = "image"
  dataset.mask_key = "infection_mask"
  # Feature of the lungs' mask; a dataset need not have it.
  dataset.lung_mask_key = "lung_mask"
  # List of training films that are left out, as duplicates.csv of `python -m covseg dataset`; covid_qu_ex for the list
  # that ships with that dataset; empty for none.
  dataset.exclude = ""
  # Training films that take more than this in memory are read from disk as they are needed. A film
  # takes 2 bytes a pixel, 3 with a lung head: this is 40,000 films of 256x256 or more.
  dataset.memory_limit_gb = 8.0

  config.model = model = ConfigDict()
  # unet, unet_baseline, unet_plus_plus, attention_unet or encoder_decoder.
  model.name = "unet"
  # What it predicts: "infection" of each pixel; "lung" of each pixel; "involvement", whether each lung is infected,
  # learnt from films with an infection alone, but see dataset.opacities (needs "lung"); "presence", whether the film is
  # one of those with an infection. With "presence", the infection of pixels is learnt from films that have one.
  model.heads = ("infection",)
  # Channels of the first level; each level below has twice as many.
  model.base_features = 32
  # Type of the computation: float32, or bfloat16 for speed on accelerators.
  model.dtype = "float32"
  # unet: batch or group.
  model.norm = "batch"
  # unet_baseline: share of the values dropped in training at the end of the contracting path.
  model.dropout = 0.5
  # unet_plus_plus: 1 to 4 predicts from a U-Net of that depth, and computes no more; 0 from all.
  model.prune_to = 0
  # encoder_decoder: efficientnet_lite0, efficientnet_lite1, mobilenet_v2, resnet18, resnet34, resnet50 or densenet121.
  model.encoder = "resnet34"
  # encoder_decoder: unet or fpn.
  model.decoder = "unet"
  # encoder_decoder: channels of the U-Net decoder from stride 16 to finer ones. With five, the
  # logits are of the image's resolution; with four, of half of it.
  model.decoder_features = (256, 128, 64, 32, 16)
  # encoder_decoder: weights it starts from, "imagenet" for those that ship (efficientnet_lite0),
  # a file made by `python -m covseg import-weights`, or empty.
  model.encoder_weights = ""

  config.loss = loss = ConfigDict()
  # bce, weighted_bce, soft_dice, bce_dice, focal, tversky, focal_tversky or lovasz_hinge.
  loss.name = "bce"
  # weighted_bce: weight of infected pixels; others have 1.
  loss.positive_weight = 3.0
  # bce_dice: weight of soft Dice; BCE has 1.
  loss.dice_weight = 1.0
  # focal: the exponent, and the weight of infected pixels; others have 1 - alpha.
  loss.focal_gamma = 2.0
  loss.focal_alpha = 0.75
  # tversky and focal_tversky: weights of false positives and of false negatives.
  loss.tversky_alpha = 0.3
  loss.tversky_beta = 0.7
  # focal_tversky: the exponent is one over this.
  loss.focal_tversky_gamma = 4 / 3
  # Models, as --model takes them, whose predictions for the training films make the masks soft; empty for none. They
  # must stay as they are until the training ends. A film then takes 4 bytes a pixel more in memory.
  loss.teacher = ""
  # Weight of these predictions, 0 to 0.5; the dataset's masks have the rest.
  loss.teacher_weight = 0.5
  # Weight of the lung head's binary cross-entropy, where there is one.
  loss.lung_weight = 0.5
  # Weight of the presence head's.
  loss.presence_weight = 0.5
  # Weight of the involvement head's.
  loss.involvement_weight = 0.1

  config.optimizer = optimizer = ConfigDict()
  # adam or adamw.
  optimizer.name = "adam"
  optimizer.learning_rate = 1e-3
  # constant, cosine (to zero at the end), or step (times step_factor every step_epochs).
  optimizer.schedule = "constant"
  # Epochs over which the rate rises to learning_rate.
  optimizer.warmup_epochs = 0.0
  optimizer.step_epochs = 20
  optimizer.step_factor = 0.1
  # Of adamw.
  optimizer.weight_decay = 1e-2
  # Gradients of a larger global norm are scaled to it; 0 for none.
  optimizer.clip_norm = 0.0
  # Part of the learning rate that an encoder learns at. 0 keeps its parameters, not its statistics of batch norm.
  optimizer.encoder_factor = 1.0
  # The heads of model.heads that learn, as "involvement,presence", while all else stays as it is; empty for the whole
  # network.
  optimizer.only = ""
  # Batches whose gradients are averaged for one update.
  optimizer.accumulation_steps = 1
  # Of the exponential moving average of the parameters, a batch at a time, which is then what is evaluated; 0 for none.
  optimizer.ema_decay = 0.0

  # What is done at random to each training film, with what probability, and up to what strength.
  config.augment = augment = ConfigDict()
  # One lung, mirrored, in the place of the other as well: the clean one, if the other is infected, so that films
  # without infection come from the same hospitals as those with. It has no strength, and needs a lung head.
  augment.symmetry = ConfigDict({"probability": 0.0, "strength": 1.0})
  # Left to right. It has no strength.
  augment.flip = ConfigDict({"probability": 0.0, "strength": 1.0})
  # Degrees.
  augment.rotation = ConfigDict({"probability": 0.0, "strength": 12.0})
  # Larger or smaller, part of the size.
  augment.scale = ConfigDict({"probability": 0.0, "strength": 0.15})
  # Part of the side, along both.
  augment.shift = ConfigDict({"probability": 0.0, "strength": 0.06})
  # A window anywhere, scaled up; part of the side that is cut off.
  augment.crop = ConfigDict({"probability": 0.0, "strength": 0.2})
  # Shifts of a grid of 5x5 points, part of the side.
  augment.elastic = ConfigDict({"probability": 0.0, "strength": 0.03})
  # Part of the way to the grey levels of another film of the batch.
  augment.histogram = ConfigDict({"probability": 0.0, "strength": 1.0})
  # Added to grey values in [0, 1].
  augment.brightness = ConfigDict({"probability": 0.0, "strength": 0.1})
  # Largest logarithm of the factor, and of the exponent.
  augment.contrast = ConfigDict({"probability": 0.0, "strength": 0.25})
  augment.gamma = ConfigDict({"probability": 0.0, "strength": 0.3})
  # Part of the grey values that become black, and part that become white.
  augment.window = ConfigDict({"probability": 0.0, "strength": 0.15})
  # Standard deviation of Gaussian noise: log-uniform from a hundredth of the strength up to it.
  augment.noise = ConfigDict({"probability": 0.0, "strength": 0.1})
  # Standard deviation of a Gaussian filter, part of the side.
  augment.blur = ConfigDict({"probability": 0.0, "strength": 0.006})
  # Unsharp masking, times what a Gaussian filter takes away.
  augment.sharpen = ConfigDict({"probability": 0.0, "strength": 2.0})
  # Scaled down and up again, by random kernels; part of the side that is lost in between.
  augment.resolution = ConfigDict({"probability": 0.0, "strength": 0.6})
  # Part of the way to the power spectrum of another film of the batch.
  augment.spectrum = ConfigDict({"probability": 0.0, "strength": 1.0})
  # JPEG compression; part of the quality that is lost: 0.9 for quality 10.
  augment.jpeg = ConfigDict({"probability": 0.0, "strength": 0.9})

  config.eval = evaluation = ConfigDict()
  # Side at which masks are compared, in pixels: that of the stored masks of COVID-QU-Ex.
  evaluation.image_size = 256
  # Films at a time, rounded up to a multiple of the devices in training and `evaluate`. On a CPU, arrays of a few
  # films stay in its cache; a GPU may be faster with more.
  evaluation.batch_size = 4
  # Average the masks predicted for a film and for its mirror image. Of several networks, the first then predicts for
  # both, the second for the film, the third for the mirror image, and so on in turn. Heads of the whole film see the
  # film alone.
  evaluation.flip = False
  # Part of the way that the mirror image's grey levels are moved to those of an average film, where eval.flip is true.
  evaluation.match_levels = 0.0
  # Where the involvement head gives neither lung at least this probability, the probability of every pixel is capped at
  # the head's and at 0.5; 0 for films that are known to show an infection.
  evaluation.least_involvement = 0.0
  # The same by the presence head, of the film.
  evaluation.least_presence = 0.0
  # Infection is no likelier than lung, before eval.own_threshold; takes a lung head.
  evaluation.lung_only = False
  # Each film with a pixel of a probability over 0.5 gets a threshold of its own, that of the mask with the largest
  # expected Dice (covseg/models/thresholds.py). Its logits are moved so that this lies at a probability of 0.5.
  evaluation.own_threshold = False
  # A pixel is called infected where its probability, moved by eval.own_threshold, is above it.
  evaluation.threshold = 0.5

  return config.lock()


def set_augmentation(config: ConfigDict, changes: Mapping[str, tuple[float, float]]) -> None:
  """Sets {transform: (probability, strength)} of `config.augment`."""
  for name, (probability, strength) in changes.items():
    config.augment[name].update(probability=probability, strength=strength)
