"""Runs the command line as `python -m cosseg_jax`, where `cosseg` is not on the path."""

import sys

from cosseg_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
