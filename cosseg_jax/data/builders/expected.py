"""What the paper says of each benchmark (section 4.2), and how a data set at hand differs from it.

The numbers for each class of PASCAL-VOC, and its checksum, are those of the authors' processed
pack: 1,037 entries of 924 photographs. Of iCoseg the paper gives the classes (table 3), not their
sizes; the others have no checksum here, for want of a copy to compute it on.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jaxtyping import UInt8

from cosseg_jax.types import Ndarray


class Benchmark(NamedTuple):
    """What is known of a benchmark.

    counts: the entries of each class, None where they are not known.
    checksum: of all photographs and masks in their order (see `Checksum`), "" if not known.
    """

    counts: Mapping[str, int | None]
    checksum: str = ""


EXPECTED = {
    "pascal": Benchmark(
        {
            "aeroplane": 66,
            "bicycle": 43,
            "bird": 77,
            "boat": 54,
            "bottle": 44,
            "bus": 47,
            "car": 63,
            "cat": 75,
            "chair": 48,
            "cow": 34,
            "diningtable": 14,
            "dog": 76,
            "horse": 40,
            "motorbike": 56,
            "person": 115,
            "pottedplant": 41,
            "sheep": 39,
            "sofa": 26,
            "train": 32,
            "tvmonitor": 47,
        },
        checksum="3108010afd05cc8f",
    ),
    "msrc": Benchmark(
        dict.fromkeys(("bird", "car", "cat", "cow", "dog", "plane", "sheep"), 10),
    ),
    "internet": Benchmark(dict.fromkeys(("airplane", "car", "horse"), 100)),
    "icoseg": Benchmark(
        dict.fromkeys(
            (
                *("bear2", "brownbear", "cheetah", "elephant", "helicopter", "hotballoon"),
                *("panda1", "panda2"),
            )
        ),
    ),
}


class Checksum:
    """Sums up decoded photographs and label maps, entry by entry, class by class.

    It does not depend on files' names, formats or compression, except as names give the order.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(
        self, category: str, image: UInt8[Ndarray, "H W 3"], labels: UInt8[Ndarray, "H W"]
    ) -> None:
        """Takes the next entry; both arrays are of one size."""
        height, width = labels.shape
        self._digest.update(f"{category}\t{height}\t{width}\n".encode())
        self._digest.update(image.tobytes())
        self._digest.update(labels.tobytes())

    def hexdigest(self) -> str:
        """16 hexadecimal digits."""
        return self._digest.hexdigest()[:16]


def differences(name: str, categories: Iterable[str], checksum: str) -> list[str]:
    """How a data set differs from what the paper says of the benchmark, a line each.

    Args:
      name: the data set's name; of one that the paper does not use nothing is expected.
      categories: the class of every entry.
      checksum: of all entries.
    """
    if name not in EXPECTED:
        return []
    benchmark, counts = EXPECTED[name], Counter(categories)
    missing = [category for category in benchmark.counts if not counts[category]]
    lines = [f"no entries of {', '.join(missing)}"] if missing else []
    lines += [
        f"{counts[category]} entries of {category}, the paper has {known}"
        for category, known in benchmark.counts.items()
        if counts[category] not in (0, known) and known is not None
    ]
    lines += [
        f"{counts[category]} entries of {category}, of which the paper has none"
        for category in sorted(counts.keys() - benchmark.counts.keys())
    ]
    known = list(benchmark.counts.values())
    total = sum(number or 0 for number in known)
    if None not in known and counts.total() != total:
        lines.append(f"{counts.total()} entries in all, the paper has {total}")
    if not lines and benchmark.checksum not in ("", checksum):
        lines.append(
            f"photographs, masks or their order are not those of the authors' pack (checksum "
            f"{checksum}, theirs {benchmark.checksum})"
        )
    return lines
