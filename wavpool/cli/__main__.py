"""`python -m wavpool.cli`."""

from . import main

if __name__ == "__main__":  # the workers of a sweep import this module, too
    main()
