"""`python -m benchmarks`: every benchmark, one after the other."""

from . import training_time

training_time.main()
