"""Models and data by name, batches of them, and how well a model does: what the codec and the circuits stand on."""
