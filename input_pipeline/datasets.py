"""Dataset builders by name, prepared on disk: `covid_qu_ex`, `cxr_phantom`, `folder`, or a user's own."""

import hashlib
import importlib
import inspect
import json
import logging
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from input_pipeline.locking import only_process
from input_pipeline.wording import did_you_mean

logger = logging.getLogger(__name__)

_SHIPPED = {name: f"input_pipeline.{name}.{name}_dataset_builder" for name in ("covid_qu_ex", "cxr_phantom", "folder")}
_MADE_FROM = "made_from.json"


def prepare(config: ConfigDict) -> tfds.core.DatasetBuilder:
  """Builder of `config.name` whose records are on disk, whole and of the files at hand.

  Records built before are reused only if nothing speaks against it; else they are built again, and the reason is
  logged. One process builds at a time.

  Args:
    config: `config.dataset`: name, data_dir, manual_dir, cohort.

  Raises:
    FileNotFoundError: the files to build from are not there.
    ValueError: they are there but not as they should be, or the name or the cohort is unknown.
  """
  builder = _create_builder(config)
  manual_dir = _manual_dir(builder, config)
  lock = builder.data_path.parent / f".{builder.data_path.name}.lock"
  with only_process(pathlib.Path(lock), f"The folder of records {builder.data_path}", wait=True):
    builder = _create_builder(config)  # Another process may have built it in the meantime.
    is_built = builder.data_path.exists()
    reason = _reason_to_rebuild(builder, config, manual_dir) if is_built else ""
    if reason or not is_built:
      builder = _build(builder, config, manual_dir, reason)
  if hasattr(builder, "count_report"):
    logger.info("%s: %s", builder.info.full_name, builder.count_report())
  return builder


def _manual_dir(builder: tfds.core.DatasetBuilder | type[tfds.core.DatasetBuilder], config: ConfigDict) -> pathlib.Path:
  """The folder that the dataset is made from: the configured one, TFDS's own, or where kagglehub leaves it."""
  if config.manual_dir:
    return pathlib.Path(config.manual_dir).expanduser()
  data_dir = config.data_dir or tfds.core.constants.DATA_DIR
  manual_dir = pathlib.Path(data_dir).expanduser() / "downloads" / "manual"
  handle = getattr(builder, "KAGGLE_HANDLE", None)
  if handle and not (manual_dir.is_dir() and any(manual_dir.iterdir())):
    cache = pathlib.Path(os.environ.get("KAGGLEHUB_CACHE") or "~/.cache/kagglehub").expanduser()
    versions = [path for path in (cache / "datasets" / handle / "versions").glob("*") if path.name.isdecimal()]
    if versions:
      return max(versions, key=lambda path: int(path.name))
  return manual_dir


def _build(
  builder: tfds.core.DatasetBuilder, config: ConfigDict, manual_dir: pathlib.Path, reason: str
) -> tfds.core.DatasetBuilder:
  if hasattr(builder, "source"):
    builder.source(manual_dir)  # Its errors come before anything is moved or written.
  elif builder.MANUAL_DOWNLOAD_INSTRUCTIONS and config.manual_dir and not manual_dir.is_dir():
    raise FileNotFoundError(f"dataset.manual_dir={config.manual_dir} is no folder.")
  records = pathlib.Path(builder.data_path)
  earlier = records.with_name(f".{records.name}.earlier")
  shutil.rmtree(earlier, ignore_errors=True)  # Left by a process that was killed.
  if reason:
    logger.warning("Building %s again: %s.", builder.info.full_name, reason)
    records.rename(earlier)
    builder = _create_builder(config)
  try:
    _write_records(builder, manual_dir)
  except BaseException:
    if reason:
      earlier.rename(records)
    raise
  shutil.rmtree(earlier, ignore_errors=True)
  return builder


def _write_records(builder: tfds.core.DatasetBuilder, manual_dir: pathlib.Path) -> None:
  for left in builder.data_path.parent.glob(f"incomplete.*_{builder.data_path.name}"):
    left.rmtree()  # By a process that was killed: one builds at a time.
  logger.info("Building %s in %s from %s", builder.info.full_name, builder.data_path, manual_dir)
  if not sys.stderr.isatty():
    tfds.disable_progress_bar()
  made_from = {}
  if not hasattr(builder, "source"):
    made_from = {"folder": str(manual_dir.absolute()), "listing": _listing(manual_dir)}
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=manual_dir), file_format="array_record"
  )
  if made_from:
    (pathlib.Path(builder.data_path) / _MADE_FROM).write_text(json.dumps(made_from))


def _reason_to_rebuild(builder: tfds.core.DatasetBuilder, config: ConfigDict, manual_dir: pathlib.Path) -> str:
  """Why the records on disk are not to be trusted; empty if they are."""
  if not hasattr(builder, "source"):
    return _reason_of_listing(pathlib.Path(builder.data_path), config, manual_dir)
  built = builder.info.metadata.get("source")
  if built is None:
    return "the build does not say what it was made from"
  for split, counts in built["counts"].items():
    found = builder.info.splits[split].num_examples if split in builder.info.splits else 0
    if found != sum(counts.values()):
      return f"it is partial, {found} of {sum(counts.values())} {split} films"
  try:
    source = builder.source(manual_dir)
  except (FileNotFoundError, ValueError):
    if config.manual_dir:
      raise
    return ""  # The files were removed after the build, or others lie there now, and none were asked for.
  return "" if built == source else f"what is in {manual_dir} is not what it was made from"


def _reason_of_listing(records: pathlib.Path, config: ConfigDict, manual_dir: pathlib.Path) -> str:
  """The same for a builder that has no `source`: by the folder, and the names, sizes and times of its files."""
  try:
    built = json.loads((records / _MADE_FROM).read_text())
  except (FileNotFoundError, json.JSONDecodeError):  # As of records that TFDS's own command wrote.
    return "the build does not say what it was made from" if config.manual_dir else ""
  if not (config.manual_dir or manual_dir.is_dir()):
    return ""  # The files were removed after the build, and none were asked for.
  if built["folder"] != str(manual_dir.absolute()):
    return f"it was made from {built['folder']}, not from {manual_dir}"
  return "" if built["listing"] == _listing(manual_dir) else f"files in {manual_dir} have changed"


def _listing(folder: pathlib.Path) -> str:
  """Digest of the names, sizes and times of change of all files of a folder."""
  digest = hashlib.sha256()
  for path in sorted(_files_below(folder)):
    if path.is_file() and not path.name.startswith("."):
      status = path.stat()
      digest.update(os.fsencode(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n"))
  return digest.hexdigest()


def _files_below(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Files of a folder and of those below, also of linked ones, each folder once."""
  seen = {os.path.realpath(folder)}
  for top, folders, names in os.walk(folder, followlinks=True):
    yield from (pathlib.Path(top, name) for name in names)
    places = {os.path.realpath(os.path.join(top, name)): name for name in sorted(folders, reverse=True)}
    folders[:] = sorted(name for place, name in places.items() if place not in seen)
    seen |= places.keys()


def _create_builder(config: ConfigDict) -> tfds.core.DatasetBuilder:
  builder_class = _builder_class(config.name)
  data_dir = pathlib.Path(config.data_dir).expanduser() if config.data_dir else None
  is_of_folder = hasattr(builder_class, "config_of")  # The records depend on the folder.
  cohorts = ["covid", "all"] if is_of_folder else list(builder_class.builder_configs)
  if cohorts and config.cohort not in cohorts:
    hint = did_you_mean(config.cohort, cohorts)
    raise ValueError(f"dataset.cohort={config.cohort!r}: {config.name} has {', '.join(cohorts)}{hint}.")
  name = config.cohort if cohorts else None
  if is_of_folder:
    name = builder_class.config_of(config.cohort, _manual_dir(builder_class, config))
  return builder_class(data_dir=data_dir, config=name)


def _builder_class(name: str) -> type[tfds.core.DatasetBuilder]:
  """The one builder class that a shipped dataset's or a user's module defines."""
  module_name = _SHIPPED.get(name, name)
  if name not in _SHIPPED and "" not in sys.path:
    sys.path.append("")  # A user's module lies where the command is run; it hides no installed one.
  try:
    module = importlib.import_module(module_name)
  except ModuleNotFoundError as error:
    if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
      raise
    raise ValueError(
      f"dataset.name={name!r} is not known{did_you_mean(name, _SHIPPED)}. It is {', '.join(_SHIPPED)}, or the name of "
      "a Python module that defines one TFDS builder, in this folder or installed."
    ) from error
  classes = [
    value
    for value in vars(module).values()
    if inspect.isclass(value) and issubclass(value, tfds.core.DatasetBuilder) and value.__module__ == module.__name__
  ]
  if len(classes) != 1:
    raise ValueError(f"dataset.name={name!r}: {module.__file__} defines {len(classes)} TFDS builders; expected one.")
  return classes[0]
