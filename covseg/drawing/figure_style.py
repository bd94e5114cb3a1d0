"""One style of all figures: colours that colour-blind readers tell apart, legible in print."""

import io

from matplotlib.figure import Figure

# Okabe and Ito's colours, the dark ones first.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
WIDTH = 7.2  # Inches: two columns of a journal.
DPI = 150
STYLE = {
  "font.size": 9,
  "axes.titlesize": 9,
  "axes.titleweight": "bold",
  "axes.spines.top": False,
  "axes.spines.right": False,
  "legend.frameon": False,
  "figure.constrained_layout.use": True,
  "svg.hashsalt": "covseg",
}


def files(name: str, figure: Figure) -> dict[str, bytes]:
  """{"NAME.png": ..., "NAME.svg": ...} of a figure."""
  contents = {}
  for kind, metadata in {"png": None, "svg": {"Date": None}}.items():
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
    contents[f"{name}.{kind}"] = file.getvalue()
  return contents
