"""Draws `examples/aeroplanes`: the pictures that the notebook and the pages try the network with.

python examples/draw_pictures.py --group aeroplane --out examples/aeroplanes
"""

import argparse
from pathlib import Path

from cosseg_jax.web.drawn_scenes import DRAWN_GROUPS, drawn_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", default="aeroplane", choices=DRAWN_GROUPS)
    parser.add_argument("--out", required=True, type=Path, help="a folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(len(DRAWN_GROUPS[options.group])):
        drawn_image(options.group, number).save(options.out / f"{number + 1}.jpg", quality=80)


if __name__ == "__main__":
    main()
