"""`python -m benchmarks`: every benchmark, one after the other."""

from . import allocator, training_time

allocator.main([])
training_time.main()
