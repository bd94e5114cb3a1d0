"""Films as files of every kind, whole and damaged."""

import io
import pathlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from input_pipeline.cxr_phantom import phantom


def film(size: int = 64) -> np.ndarray:
  """uint8 (size, size), a small chest film."""
  drawn = phantom.draw((7, 7), infected=True).image
  return np.asarray(Image.fromarray(drawn).resize((size, size), Image.Resampling.BOX))


def real_films(folder: pathlib.Path, count: int) -> list[np.ndarray]:
  """About `count` films of the validation split, uint8 (256, 256), from the folder of the archive."""
  with zipfile.ZipFile(next(folder.glob("*.zip"))) as archive:
    names = [name for name in archive.namelist() if re.search(r"/Val/.*/images/.*\.png$", name)]
    return [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names[:: len(names) // count]]


def picture(pixels: np.ndarray, file_format: str = "PNG", **options: Any) -> bytes:
  """A PNG, JPEG or TIFF file."""
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format=file_format, **options)
  return file.getvalue()


def dicom(pixels: np.ndarray, syntax: str = "", **elements: Any) -> bytes:
  """A DICOM file of pixels (H, W) or (H, W, 3), uint8, uint16 or int16.

  Args:
    pixels: as they are stored.
    syntax: name of a transfer syntax in `pydicom.uid` to compress to; none where empty.
    **elements: by keyword, in place of the defaults; None to leave one out.
  """
  import pydicom
  from pydicom import uid

  dataset = pydicom.Dataset()
  dataset.file_meta = pydicom.dataset.FileMetaDataset()
  dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
  dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
  dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid(entropy_srcs=["i"])
  dataset.StudyInstanceUID = dataset.SeriesInstanceUID = uid.generate_uid(entropy_srcs=["s"])
  dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Roe^Jane", "ID4711", "19500102"
  dataset.Modality = "DX"
  dataset.Rows, dataset.Columns = pixels.shape[:2]
  dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
  dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
  if pixels.ndim == 3:
    dataset.PlanarConfiguration = 0
  dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
  dataset.HighBit = dataset.BitsStored - 1
  dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
  data = pixels.tobytes()
  dataset.add_new("PixelData", "OW" if pixels.itemsize == 2 else "OB", data + b"\0" * (len(data) % 2))
  for keyword, value in elements.items():
    if value is None:
      delattr(dataset, keyword)
    else:
      setattr(dataset, keyword, value)
  if syntax == "JPEGBaseline8Bit":
    dataset.PixelData = pydicom.encaps.encapsulate([picture(pixels, "JPEG", quality=95)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
  elif syntax in ("DeflatedExplicitVRLittleEndian", "ImplicitVRLittleEndian"):
    dataset.file_meta.TransferSyntaxUID = getattr(uid, syntax)
  elif syntax == "ExplicitVRBigEndian":
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    dataset.PixelData = pixels.byteswap().tobytes()
  elif syntax:
    dataset.compress(getattr(uid, syntax))
  file = io.BytesIO()
  pydicom.dcmwrite(file, dataset, enforce_file_format=True)
  return file.getvalue()


def without_preamble(content: bytes) -> bytes:
  """A DICOM file from its first element after the file meta information on, as old archives have it."""
  length = struct.unpack("<I", content[140:144])[0]
  return content[144 + length :]


def hostile(seed: int, mutations: int) -> Iterator[tuple[str, bytes]]:
  """Damaged and deceitful files, as (name, content).

  Args:
    seed: of the damage.
    mutations: how many times each kind of file is cut short, and how many times bits of it are flipped.
  """
  small = film(32)
  whole = {
    "grey.png": picture(small),
    "16_bit.png": picture(small.astype(np.uint16) * 257),
    "rgb.png": picture(np.repeat(small[..., None], 3, axis=-1)),
    "film.jpg": picture(small, "JPEG"),
    "film.tif": picture(small, "TIFF"),
    "deflated.tif": picture(small, "TIFF", compression="tiff_adobe_deflate"),
    "film.dcm": dicom(small),
    "16_bit.dcm": dicom(small.astype(np.uint16) * 16, BitsStored=12, HighBit=11, WindowCenter=9, WindowWidth=5),
    "rle.dcm": dicom(small, "RLELossless"),
    "jpeg.dcm": dicom(small, "JPEGBaseline8Bit"),
    "jpeg2000.dcm": dicom(small, "JPEG2000Lossless"),
    "jpeg_ls.dcm": dicom(small, "JPEGLSLossless"),
  }
  rng = np.random.default_rng(seed)
  for name, content in whole.items():
    for i in range(mutations):
      yield f"cut_{i}_{name}", content[: rng.integers(1, len(content))]
      flipped = np.frombuffer(content, np.uint8).copy()
      # Half of them in the header, where it matters.
      end = len(flipped) if i % 2 else min(len(flipped), 700)
      places = rng.integers(0, end, rng.integers(1, 8))
      flipped[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
      yield f"flipped_{i}_{name}", flipped.tobytes()
  yield from _deceitful(small)


def _deceitful(small: np.ndarray) -> Iterator[tuple[str, bytes]]:
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, "w") as file:
    file.writestr("film.png", picture(small))
  yield "zip.png", archive.getvalue()
  yield "empty.png", b""
  yield "empty.dcm", b""
  yield "text.jpg", b"This is no film."
  yield "huge.png", _png_of_size(60_000, 60_000)
  yield "huge_and_flat.png", _png_of_size(2**31 - 1, 1)
  yield "no_width.png", _png_of_size(0, 10)
  jpeg = picture(small, "JPEG")
  start = jpeg.index(b"\xff\xc0")
  yield "huge.jpg", jpeg[: start + 5] + struct.pack(">2H", 60_000, 60_000) + jpeg[start + 9 :]
  tiff = picture(np.float32(small), "TIFF")
  yield "huge.tif", tiff.replace(struct.pack("<HHII", 256, 4, 1, 32), struct.pack("<HHII", 256, 4, 1, 10**9))
  for value in (np.nan, np.inf):
    values = np.float32(small)
    values[3, 3] = value
    yield f"{value}.tif", picture(values, "TIFF")
  pages = io.BytesIO()
  first, second = (Image.fromarray(small + i) for i in range(2))
  first.save(pages, format="TIFF", save_all=True, append_images=[second])
  yield "pages.tif", pages.getvalue()
  yield "frames.dcm", dicom(np.tile(small, (2, 1)), Rows=32, NumberOfFrames=2)
  yield "no_pixels.dcm", dicom(small, PixelData=None)
  yield "short_pixels.dcm", dicom(small, Rows=64)
  yield "huge.dcm", dicom(small, Rows=60_000, Columns=60_000)
  yield (
    "huge_jpeg2000.dcm",
    _with_another_size(dicom(small, "JPEG2000Lossless"), b"\xff\x4f\xff\x51", 8, ">II"),
  )
  yield "huge_jpeg.dcm", _with_another_size(dicom(small, "JPEGBaseline8Bit"), b"\xff\xc0", 5, ">HH")
  yield "no_rows.dcm", dicom(small, Rows=0)
  yield "no_size.dcm", dicom(small, Columns=None)
  yield "1_bit.dcm", dicom(small, BitsAllocated=1, BitsStored=1, HighBit=0)
  yield "palette.dcm", dicom(small, PhotometricInterpretation="PALETTE COLOR")
  yield "deflated.dcm", dicom(np.zeros((4000, 4000), np.uint8), "DeflatedExplicitVRLittleEndian")
  yield "preamble_only.dcm", b"\0" * 128 + b"DICM"
  yield (
    "nested.dcm",
    b"\0" * 128 + b"DICM" + b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 5000,
  )


def _png_of_size(width: int, height: int) -> bytes:
  """A PNG file whose header tells a size, and which holds next to nothing."""

  def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

  header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
  return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def _with_another_size(content: bytes, marker: bytes, offset: int, layout: str) -> bytes:
  place = content.index(marker) + offset
  return content[:place] + struct.pack(layout, 60_000, 60_000) + content[place + struct.calcsize(layout) :]
