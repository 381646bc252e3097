"""Calibration on unlabelled data: how much each weight matters, and rounding that makes up for its own errors."""
