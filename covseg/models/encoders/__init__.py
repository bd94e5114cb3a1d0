"""Encoders: an image in, features at strides 2, 4, 8, 16 and 32 out.

`__call__(images, train)` takes grey images (B, H, W, 1) in [0, 1], whose height and width 32 divides, and
returns a list of features (B, H/2, W/2, C), ..., (B, H/32, W/32, C'), in the type of the images. The modules
of ResNet, MobileNetV2 and DenseNet have torchvision's names, with underscores for dots.
"""

import functools

from covseg.models.encoders.densenet121 import DenseNet121
from covseg.models.encoders.efficientnet_lite import EfficientNetLite
from covseg.models.encoders.mobilenet_v2 import MobileNetV2
from covseg.models.encoders.resnet import ResNet

ENCODERS = {
  "efficientnet_lite0": functools.partial(EfficientNetLite, (1, 2, 2, 3, 3, 4, 1)),
  "efficientnet_lite1": functools.partial(EfficientNetLite, (1, 3, 3, 4, 4, 5, 1)),
  "mobilenet_v2": MobileNetV2,
  **{f"resnet{depth}": functools.partial(ResNet, depth) for depth in (18, 34, 50)},
  "densenet121": DenseNet121,
}
