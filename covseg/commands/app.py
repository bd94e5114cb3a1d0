"""`python -m covseg app`"""

import argparse

from covseg.commands import arguments as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.epilog = "Example: python -m covseg app --model=runs/unet"
  shared.add_model(parser)
  shared.add_changes(parser)
  parser.add_argument(
    "--host",
    default="127.0.0.1",
    help="address to listen on; default: this machine alone; for any other, a password is made and printed",
  )
  parser.add_argument("--port", type=int, default=7860, help="default: 7860; 0 for any that is free")
  shared.add_dataset(parser)


def run(arguments: argparse.Namespace) -> None:
  try:
    import starlette
    import uvicorn
  except ImportError as error:
    raise ValueError(f"The page needs a web server: pip install -e '.[app]' ({error})") from error
  del starlette, uvicorn
  from covseg.app import serving

  fields = shared.dataset_fields(arguments)
  serving.run(arguments.model, arguments.set, arguments.host, arguments.port, fields or None)
