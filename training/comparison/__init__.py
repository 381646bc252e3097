"""The comparison of models over data sets: plan, runs, table, figures and report, behind ``run_experiments.py``."""
