"""Training: what makes the shipped models, and what tells the collector about a training run."""
