"""The same networks in PyTorch, trained as its users would: the U-Net, and two of segmentation_models_pytorch."""

import time

import numpy as np
import torch
from torch import nn


def _double_conv(inputs: int, features: int) -> nn.Sequential:
  layers = []
  for channels in (inputs, features):
    layers += [
      nn.Conv2d(channels, features, 3, padding=1, bias=False),
      nn.BatchNorm2d(features),
      nn.ReLU(True),
    ]
  return nn.Sequential(*layers)


class UNet(nn.Module):
  def __init__(self, base_features: int):
    super().__init__()
    features = [base_features * 2**level for level in range(5)]
    self.down = nn.ModuleList(_double_conv(i, o) for i, o in zip([1, *features[:-1]], features, strict=True))
    self.up = nn.ModuleList(nn.ConvTranspose2d(2 * f, f, 2, 2) for f in features[:-1])
    self.merge = nn.ModuleList(_double_conv(2 * f, f) for f in features[:-1])
    self.head = nn.Conv2d(base_features, 1, 1)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    skips = []
    for block in self.down[:-1]:
      x = block(x)
      skips.append(x)
      x = nn.functional.max_pool2d(x, 2)
    x = self.down[-1](x)
    for skip, up, merge in reversed(list(zip(skips, self.up, self.merge, strict=True))):
      x = merge(torch.cat([skip, up(x)], 1))
    return self.head(x)


def create(network: str, base_features: int) -> nn.Module:
  """The network; "tf_efficientnet_lite0" pads as TensorFlow does, which the ImageNet weights here take."""
  if network == "unet":
    return UNet(base_features)
  import segmentation_models_pytorch as smp

  if network == "resnet34":
    return smp.Unet("resnet34", encoder_weights=None, in_channels=1, decoder_channels=(256, 128, 64, 32, 16))
  model = smp.Unet(f"tu-{network}", encoder_weights=None, in_channels=1, decoder_channels=(128, 64, 32, 24, 1))
  # As `configs/efficientnet_lite0_unet.py`: logits at half the image's resolution, scaled up.
  model.decoder.blocks = model.decoder.blocks[:4]
  model.segmentation_head = nn.Sequential(nn.Conv2d(24, 1, 1), nn.Upsample(scale_factor=2, mode="bilinear"))
  return model


class System:
  """What `worker.py` measures."""

  def __init__(self, network: str, base_features: int, bfloat16: bool):
    self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    self.about = f"PyTorch {torch.__version__}, channels_last, {self._device.type}"
    self._network = create(network, base_features).to(self._device, memory_format=torch.channels_last)
    self._apply = self._network
    if self._device.type == "cuda":
      self.about += ", torch.compile"
      self._apply = torch.compile(self._network)
    self._optimizer = torch.optim.Adam(self._network.parameters(), 1e-3)
    self._autocast = lambda: torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16)

  def place(self, images: np.ndarray, masks: np.ndarray):
    images = torch.from_numpy(images)[:, None].to(self._device).float().div(255)
    masks = torch.from_numpy(masks)[:, None].to(self._device).float()
    return images.contiguous(memory_format=torch.channels_last), masks

  def train_step(self, batch) -> torch.Tensor:
    images, masks = batch
    self._network.train()
    self._optimizer.zero_grad()
    with self._autocast():
      logits = self._apply(images)
    loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), masks)
    loss.backward()
    self._optimizer.step()
    return loss

  def infer(self, batch) -> torch.Tensor:
    self._network.eval()
    with torch.no_grad(), self._autocast():
      return torch.sigmoid(self._apply(batch[0]))

  def epoch(self, images: np.ndarray, masks: np.ndarray, batch_size: int) -> float:
    films = torch.utils.data.TensorDataset(torch.from_numpy(images), torch.from_numpy(masks))
    loader = torch.utils.data.DataLoader(films, batch_size, shuffle=True, drop_last=True)
    began = time.perf_counter()
    for chosen in loader:
      loss = self.train_step(self.place(*(x.numpy() for x in chosen)))
    self.wait(loss)
    return time.perf_counter() - began

  def wait(self, result: torch.Tensor) -> None:
    result.cpu()

  def device_bytes(self) -> int:
    return torch.cuda.max_memory_allocated() if self._device.type == "cuda" else 0
