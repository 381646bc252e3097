"""Experiments on the weights of quantised networks, by the ancestor's names."""
