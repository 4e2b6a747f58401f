"""Tasks: what a prediction is, how it is trained, and how its quality is measured."""
