"""The table of a comparison as Markdown, CSV and LaTeX."""

from collections.abc import Sequence

from covseg.experiments.comparison import Estimate, Row
from input_pipeline.tables import to_csv

_HEADINGS = (
  "run",
  "seeds",
  "parameters",
  "GFLOPs",
  "training, min",
  "Dice",
  "IoU",
  "pixel accuracy",
  "p",
  "paper's Dice",
  "paper's IoU",
)
_EXPLANATION = (
  "Mean ± standard deviation over seeds [95 % bootstrap interval over films, of the mean of the seeds]; p: "
  "two-sided paired permutation test of Dice against the first row, not corrected for several comparisons. GFLOPs "
  "are of one image, forward; minutes are of the epochs, with their validation. The paper's columns quote it, for 583 "
  "test films of COVID-QU-Ex and other training."
)


def markdown(rows: Sequence[Row], about: str) -> str:
  """The table, and what its figures mean."""
  lines = [_HEADINGS, ["---"] * len(_HEADINGS), *map(_cells, rows)]
  return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{about} {_EXPLANATION}\n"


def latex(rows: Sequence[Row], about: str) -> str:
  """A table environment for the package booktabs."""
  lines = [" & ".join(map(_escaped, line)) + r" \\" for line in (_HEADINGS, *map(_cells, rows))]
  return "\n".join(
    [
      r"\begin{table}",
      r"\centering",
      rf"\caption{{{_escaped(f'{about} {_EXPLANATION}')}}}",
      rf"\begin{{tabular}}{{l{'r' * (len(_HEADINGS) - 1)}}}",
      r"\toprule",
      lines[0],
      r"\midrule",
      *lines[1:],
      r"\bottomrule",
      r"\end{tabular}",
      r"\end{table}",
      "",
    ]
  )


def comma_separated(rows: Sequence[Row]) -> str:
  """A line per row with every number in a column of its own; empty where there is none."""
  records = []
  for row in rows:
    record = {
      "run": row.name,
      "network": row.network,
      "seeds": row.num_seeds,
      "parameters": row.parameters,
      "gflops": row.gflops,
      "training_minutes": row.minutes,
    }
    for name, value in row.estimates.items():
      record |= {
        name: value.mean,
        f"{name}_standard_deviation": value.deviation,
        f"{name}_low": value.low,
        f"{name}_high": value.high,
      }
    paper_dice, paper_iou = row.paper or (None, None)
    records.append({**record, "p_value": row.p_value, "paper_dice": paper_dice, "paper_iou": paper_iou})
  return to_csv([records[0], *(record.values() for record in records)])


def _cells(row: Row) -> list[str]:
  return [
    row.name,
    str(row.num_seeds),
    f"{row.parameters / 1e6:.2f} M",
    f"{row.gflops:.2f}",
    "" if row.minutes is None else f"{row.minutes:.1f}",
    *map(_estimate, row.estimates.values()),
    "" if row.p_value is None else f"{row.p_value:.4f}",
    *(["", ""] if row.paper is None else [f"{value:.2f}" for value in row.paper]),
  ]


def _estimate(value: Estimate) -> str:
  deviation = "" if value.deviation is None else f" ± {value.deviation:.3f}"
  return f"{value.mean:.3f}{deviation} [{value.low:.3f}, {value.high:.3f}]"


def _escaped(text: str) -> str:
  for character, command in {"_": r"\_", "%": r"\%", "±": r"$\pm$", "&": r"\&"}.items():
    text = text.replace(character, command)
  return text
