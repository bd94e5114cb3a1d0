"""The COVID-QU-Ex archive as it is downloaded: a zip, or the folder it was unpacked to.

Only its "Infection Segmentation Data" is read:

  .../Infection Segmentation Data/{Train,Val,Test}/{COVID-19,Non-COVID,Normal}/
      images/NAME.png   infection masks/NAME.png   lung masks/NAME.png
"""

import collections
import dataclasses
import hashlib
import io
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from input_pipeline.wording import first_of

KAGGLE_HANDLE = "anasmohammedtahir/covidqu"
KAGGLE_PAGE = f"https://www.kaggle.com/datasets/{KAGGLE_HANDLE}"
LABELS = ("COVID-19", "Non-COVID", "Normal")
SPLITS = {"Train": "train", "Val": "validation", "Test": "test"}
# Films of each label, in the order of LABELS, as published.
OFFICIAL_COUNTS = {
  "train": (1864, 932, 932),
  "validation": (466, 233, 233),
  "test": (583, 292, 291),
}
IMAGE_SIZE = 256

_ROLES = ("images", "infection masks", "lung masks")
_MEMBER = re.compile(
  r"(?P<root>.*?)(?P<split>Train|Val|Test)/(?P<label>COVID-19|Non-COVID|Normal)/"
  r"(?P<role>images|infection masks|lung masks)/(?P<name>[^/]+)\.png"
)
HOW_TO_GET_IT = (
  f"Download COVID-QU-Ex with kagglehub.dataset_download({KAGGLE_HANDLE!r}), which is found by itself; or put the "
  f"archive.zip of {KAGGLE_PAGE} (about 1.2 GB), still zipped, into a folder, and name that folder with "
  "--manual_dir=FOLDER (main.py: --config.dataset.manual_dir=FOLDER). To try everything without a download: python "
  "main.py --config=configs/quickstart.py, which uses synthetic films."
)


@dataclasses.dataclass(frozen=True)
class Film:
  """One chest film: the member names of its image and of its two masks."""

  id: str
  label: str
  image: str
  infection_mask: str
  lung_mask: str


class Archive:
  """The films of a COVID-QU-Ex zip or folder, listed but not yet read."""

  def __init__(self, manual_dir: pathlib.Path | str):
    """Finds the archive and lists its members.

    Args:
      manual_dir: a folder with one zip of any name, or with the unpacked tree anywhere below it.

    Raises:
      FileNotFoundError: there is nothing that could be COVID-QU-Ex.
      ValueError: the zip is damaged, unsafe or another one, or more than one could be meant.
    """
    self.path = _find(pathlib.Path(manual_dir).expanduser())
    self._zip = None
    if self.path.is_file():
      self._zip, members = _open_zip(self.path)
    else:
      members = _list_tree(self.path)
    self._members = _infection_segmentation_members(members, self.path)

  def films(self, labels: Sequence[str]) -> dict[str, list[Film]]:
    """Films of each split that the archive holds, in the order of their names.

    Raises:
      ValueError: an image lacks a mask, or a mask its image.
    """
    members_of = collections.defaultdict(dict)  # (split, label, name) -> {role: member}
    for member in self._members:
      match = _MEMBER.fullmatch(member)
      if match["label"] in labels:
        members_of[match["split"], match["label"], match["name"]][match["role"]] = member
    films = collections.defaultdict(list)
    for (split, label, name), by_role in sorted(members_of.items()):
      missing = [role for role in _ROLES if role not in by_role]
      if missing:
        raise ValueError(
          f"{self.path}: the film {split}/{label}/{name} has {', '.join(sorted(by_role))} but no "
          f"{' and no '.join(missing)}. Every image needs both its masks under its own file name: "
          "complete the archive, or download it again."
        )
      films[SPLITS[split]].append(
        Film(name, label, by_role["images"], by_role["infection masks"], by_role["lung masks"])
      )
    return {split: films[split] for split in SPLITS.values() if films[split]}

  def read(self, film: Film) -> dict[str, bytes]:
    """PNG files of a film, {"image", "infection_mask", "lung_mask"}, checked but unchanged.

    Raises:
      ValueError: a file cannot be read, is no 256x256 8-bit grey PNG, or, as a mask, has levels
        other than zero and one more.
    """
    pngs = {}
    for role in ("image", "infection_mask", "lung_mask"):
      member = getattr(film, role)
      pngs[role] = self._read_member(member)
      _check_png(pngs[role], f"{self.path}: {member}", is_mask=role != "image")
    return pngs

  def fingerprint(self, labels: Sequence[str]) -> str:
    """Digest that changes when a file of these labels is added, removed, renamed or changed."""
    lines = [
      f"{member} {stamp}"
      for member, stamp in sorted(self._members.items())
      if _MEMBER.fullmatch(member)["label"] in labels
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

  def _read_member(self, member: str) -> bytes:
    if self._zip is None:
      return (self.path / member).read_bytes()
    try:
      return self._zip.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
      raise ValueError(f"{self.path}: {member} is damaged ({error}). Download the archive again.") from error


def count_report(counts: Mapping[str, Mapping[str, int]], labels: Sequence[str]) -> str:
  """One sentence that compares films found, {split: {label: count}}, with the official counts."""
  parts, complete = [], True
  for split, official in OFFICIAL_COUNTS.items():
    expected = {label: n for label, n in zip(LABELS, official, strict=True) if label in labels}
    found = {label: counts.get(split, {}).get(label, 0) for label in expected}
    if not any(found.values()):
      parts.append(f"no {split} split (official: {_slashed(expected)})")
    elif found != expected:
      parts.append(f"{split} {_slashed(found)} (official: {_slashed(expected)})")
    else:
      parts.append(f"{split} {_slashed(found)}")
    complete &= found == expected
  verdict = "as published" if complete else "DIFFERENT from the published dataset"
  return f"{'/'.join(labels)} films: {', '.join(parts)}; {verdict}"


def _slashed(counts: Mapping[str, int]) -> str:
  return "/".join(f"{count:,}" for count in counts.values())


def _find(manual_dir: pathlib.Path) -> pathlib.Path:
  """The one zip in a folder; the folder itself where it holds no zip."""
  if not manual_dir.is_dir():
    raise FileNotFoundError(f"COVID-QU-Ex was not found: {manual_dir} is not a folder. {HOW_TO_GET_IT}")
  zips = sorted(
    path for path in manual_dir.iterdir() if path.suffix.lower() == ".zip" and not path.name.startswith(".")
  )
  if len(zips) > 1:
    raise ValueError(
      f"{manual_dir} holds {len(zips)} zip files ({', '.join(path.name for path in zips)}). Leave only "
      "the one of COVID-QU-Ex there, or put it into a folder of its own and name that folder with "
      "--config.dataset.manual_dir."
    )
  return zips[0] if zips else manual_dir


def _open_zip(path: pathlib.Path) -> tuple[zipfile.ZipFile, dict[str, str]]:
  """The opened zip, and {member: checksum and size}."""
  try:
    archive = zipfile.ZipFile(path)
  except zipfile.BadZipFile as error:
    raise ValueError(
      f"{path} ({path.stat().st_size:,} bytes) is not a complete zip file ({error}); most often a "
      f"download was cut short. {HOW_TO_GET_IT}"
    ) from error
  members = {}
  for info in archive.infolist():
    parts = pathlib.PurePosixPath(info.filename.replace("\\", "/")).parts
    if ".." in parts or info.filename.startswith(("/", "\\")):
      raise ValueError(
        f"{path} has an entry that points outside of it, {info.filename!r}, so it is not the "
        f"published archive and was not read. {HOW_TO_GET_IT}"
      )
    members[info.filename] = f"{info.CRC:08x} {info.file_size}"
  return archive, members


def _list_tree(root: pathlib.Path) -> dict[str, str]:
  """{path below root: size and time of change} of every PNG file."""
  members = {}
  for folder, _, names in os.walk(root):
    for name in names:
      path = pathlib.Path(folder, name)
      if path.suffix == ".png":
        stat = path.stat()
        members[path.relative_to(root).as_posix()] = f"{stat.st_size} {stat.st_mtime_ns}"
  return members


def _infection_segmentation_members(members: Mapping[str, str], path: pathlib.Path) -> dict[str, str]:
  """The members under the one folder that holds the infection masks."""
  chosen, roots = {}, set()
  for member, stamp in members.items():
    match = _MEMBER.fullmatch(member)
    hidden = any(part.startswith((".", "__MACOSX")) for part in member.split("/"))
    if match and not hidden and "Lung Segmentation Data" not in f"{path}/{member}".split("/"):
      chosen[member] = stamp
      if match["role"] == "infection masks":
        roots.add(match["root"])
  if not roots:
    error = ValueError if path.is_file() else FileNotFoundError
    raise error(
      f"{path} is not COVID-QU-Ex: none of its {len(members):,} files lies under "
      '"Infection Segmentation Data/Train/COVID-19/infection masks/" or the like. ' + HOW_TO_GET_IT
    )
  if len(roots) > 1:
    raise ValueError(
      f"{path} holds COVID-QU-Ex {len(roots)} times, under {sorted(roots)}. "
      "Name one of these folders with --config.dataset.manual_dir."
    )
  return chosen


def _check_png(png: bytes, name: str, is_mask: bool) -> None:
  """Raises ValueError unless the file is a 256x256 8-bit grey PNG and, as a mask, has two levels."""
  expected = f"a {IMAGE_SIZE}x{IMAGE_SIZE} 8-bit grey PNG"
  if not png:
    raise ValueError(f"{name} is empty (0 bytes); expected {expected}. Download it again.")
  try:
    with Image.open(io.BytesIO(png)) as image:
      found = f"{image.format} of {image.width}x{image.height}, mode {image.mode}"
      if (image.format, image.size, image.mode) != ("PNG", (IMAGE_SIZE, IMAGE_SIZE), "L"):
        raise ValueError(f"{name} is {found}; expected {expected}.")
      pixels = np.asarray(image)
  except (OSError, SyntaxError, zlib.error) as error:
    raise ValueError(f"{name} cannot be decoded ({error}); expected {expected}.") from error
  if is_mask:
    levels = np.unique(pixels)
    if len(levels) > 2 or (len(levels) == 2 and levels[0] != 0):
      raise ValueError(
        f"{name} is not a mask: it has {len(levels)} grey levels ({first_of(levels.tolist(), 6)}); expected two, 0 "
        "outside and 255 inside."
      )
