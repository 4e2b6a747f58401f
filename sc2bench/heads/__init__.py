"""What turns the outputs of a chain into predictions."""
