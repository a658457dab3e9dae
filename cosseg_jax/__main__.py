"""python -m cosseg_jax: the command line, where `cosseg` itself is not on the path."""

import sys

from cosseg_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
