"""The U-Net of `covseg/models/unet.py` in Keras on TensorFlow, trained as its users would."""

import time

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def _double_conv(x, features: int):
  for _ in range(2):
    x = layers.Conv2D(features, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
  return x


def _unet(base_features: int) -> keras.Model:
  inputs = x = layers.Input((None, None, 1))
  skips = []
  for level in range(4):
    x = _double_conv(x, base_features * 2**level)
    skips.append(x)
    x = layers.MaxPooling2D()(x)
  x = _double_conv(x, base_features * 16)
  for skip in reversed(skips):
    x = layers.Conv2DTranspose(skip.shape[-1], 2, 2)(x)
    x = _double_conv(layers.Concatenate()([skip, x]), skip.shape[-1])
  return keras.Model(inputs, layers.Conv2D(1, 1, dtype="float32")(x))


class System:
  """What `worker.py` measures."""

  def __init__(self, network: str, base_features: int, bfloat16: bool):
    if bfloat16:
      keras.mixed_precision.set_global_policy("mixed_bfloat16")
    device = "cuda" if tf.config.list_physical_devices("GPU") else "cpu"
    self.about = f"Keras {keras.__version__} on TensorFlow {tf.__version__}, {device}"
    self._network = _unet(base_features)
    self._network.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    self._infer = tf.function(lambda images: tf.sigmoid(self._network(images, training=False)))

  def place(self, images: np.ndarray, masks: np.ndarray):
    return tf.constant(images[..., None] / np.float32(255)), tf.constant(masks[..., None], tf.float32)

  def train_step(self, batch) -> float:
    return self._network.train_on_batch(*batch)

  def infer(self, batch) -> tf.Tensor:
    return self._infer(batch[0])

  def epoch(self, images: np.ndarray, masks: np.ndarray, batch_size: int) -> float:
    films = tf.data.Dataset.from_tensor_slices((images, masks)).shuffle(len(images))
    films = films.batch(batch_size, drop_remainder=True)
    films = films.map(lambda x, y: (tf.cast(x[..., None], tf.float32) / 255, tf.cast(y[..., None], tf.float32)))
    films = films.prefetch(tf.data.AUTOTUNE)
    began = time.perf_counter()
    self._network.fit(films, verbose=0)
    return time.perf_counter() - began

  def wait(self, result) -> None:
    np.asarray(result)

  def device_bytes(self) -> int:
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else 0
