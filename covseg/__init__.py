"""Training, evaluation and application of networks that segment COVID-19 infection on chest X-rays."""
