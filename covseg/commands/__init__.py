"""One light module a command: its arguments, and the call of what does the work, imported only then."""

COMMANDS = {
  "evaluate": "Evaluates a model, or another system's masks, on a split",
  "predict": "Masks, overlays and a table of severity for films of your own",
  "external": "Compares predictions for films without masks with diagnoses or scores of severity",
  "app": "Serves a page on which films get masks, for a browser on this machine",
  "export": "Writes a trained network into one file, for JAX or as ONNX",
  "release": "Writes a trained model into one file, at half its size, for others to use",
  "compare": "One table of several runs, with intervals over films and deviations over seeds",
  "sweep": "Trains and evaluates a list of configurations and seeds",
  "dataset": "Describes a dataset, draws its figures, and finds films that it holds twice",
  "import-weights": "Converts an encoder's weights from torchvision or timm",
}
