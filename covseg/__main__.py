"""What is done with a dataset, a run or a trained model: `python -m covseg <command>`."""

import argparse
import importlib
import re
import sys
from typing import NoReturn

from covseg.commands import COMMANDS
from covseg.runtime import command_line
from input_pipeline.wording import did_you_mean


class _Parser(argparse.ArgumentParser):
  """Suggests an option where one is misspelt, also where others are missing."""

  def error(self, message: str) -> NoReturn:
    known = list(self._option_string_actions)
    for given in (argument.partition("=")[0] for argument in sys.argv[2:] if argument.startswith("--")):
      if not given.startswith("--config.") and not any(name.startswith(given) for name in known):
        message = f"there is no option {given}{did_you_mean(given, known)}"
    super().error(message)


def main() -> int | None:
  parser = argparse.ArgumentParser(
    prog="python -m covseg", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.epilog = "\n".join(f"  {name:16}{purpose}" for name, purpose in COMMANDS.items())
  parser.add_argument("command", metavar="COMMAND", help="one of those below; each has --help")
  name = parser.parse_args(sys.argv[1:2]).command
  if name not in COMMANDS:
    parser.error(f"there is no command {name!r}{did_you_mean(name, COMMANDS)}")
  command = importlib.import_module(f"covseg.commands.{name.replace('-', '_')}")
  parser = _Parser(prog=f"python -m covseg {name}", description=f"{COMMANDS[name]}.")
  command.add_arguments(parser)
  # As main.py has it, --config.eval.flip=True is --set eval.flip=True.
  arguments = parser.parse_args([re.sub(r"^--config\.(?=[\w.]+=)", "--set=", argument) for argument in sys.argv[2:]])
  command_line.set_up_logging()
  with command_line.errors_in_plain_words():
    return command.run(arguments)


if __name__ == "__main__":
  command_line.use_huge_pages()
  sys.exit(main())
