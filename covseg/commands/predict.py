"""`python -m covseg predict`"""

import argparse

from covseg.commands import arguments as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = "Example: python -m covseg predict --model=runs/unet --output=out films/ film.dcm"
  parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER", help="PNG, JPEG, TIFF, BMP, WebP, GIF or DICOM")
  shared.add_model(parser)
  shared.add_changes(parser)
  parser.add_argument("--output", required=True, help="folder of the results")
  parser.add_argument("--lungs", action="store_true", help="also write lung masks")
  parser.add_argument("--probabilities", action="store_true", help="also write probability maps")
  parser.add_argument("--dicom-seg", action="store_true", help="also write DICOM Segmentation objects")
  parser.add_argument("--resume", action="store_true", help="continue in a folder that has results")
  shared.add_shard(parser)


def run(arguments: argparse.Namespace) -> int:
  from covseg.prediction import predict

  failed = predict.run(
    arguments.paths,
    arguments.model,
    arguments.output,
    predict.Wanted(arguments.lungs, arguments.probabilities, arguments.dicom_seg),
    changes=arguments.set,
    resume=arguments.resume,
    shard=arguments.shard,
  )
  return 1 if failed else 0
