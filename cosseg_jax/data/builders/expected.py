"""What the paper says about each benchmark (section 4.2), and how a data set differs from it.

The numbers for each class of PASCAL-VOC, and its checksum, are those of the authors' processed
pack: 924 images, some of which are in several classes, so that it has 1,037 in all. For iCoseg the
paper gives the classes (table 3) but not their sizes. The others have no checksum here, since we
have no copy to compute it on.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jaxtyping import UInt8

from cosseg_jax.types import Ndarray


class Benchmark(NamedTuple):
    """What is known about a benchmark.

    counts: the number of images in each class, None where it is not known.
    checksum: that of all images and masks in their order (see `Checksum`), "" if it is not known.
    """

    counts: Mapping[str, int | None]
    checksum: str = ""


BENCHMARKS = {
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


PUBLISHED_TOTALS = {  # classes and images of further benchmarks, as their publications state them
    "coca": (80, 1_295),
    "cosal2015": (50, 2_015),
    "cosod3k": (160, 3_316),
    "fss1000": (1_000, 10_000),
}


class Checksum:
    """Sums up decoded images and label maps, image by image, class by class.

    It depends on files' names only as they give the order, and not on formats or compression.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(
        self, category: str, image: UInt8[Ndarray, "H W 3"], labels: UInt8[Ndarray, "H W"]
    ) -> None:
        """Takes the next image, with its label map of the same size."""
        height, width = labels.shape
        self._digest.update(f"{category}\t{height}\t{width}\n".encode())
        self._digest.update(image.tobytes())
        self._digest.update(labels.tobytes())

    def hexdigest(self) -> str:
        """Returns 16 hexadecimal digits."""
        return self._digest.hexdigest()[:16]


def differences_from_paper(name: str, categories: Iterable[str], checksum: str) -> list[str]:
    """How a data set differs from what the paper says about the benchmark, a line each.

    Args:
      name: the data set's name; nothing is expected of one that the paper does not use.
      categories: the class of each image.
      checksum: that of all images.
    """
    counts = Counter(categories)
    if name in PUBLISHED_TOTALS:
        return _differences_in_total(PUBLISHED_TOTALS[name], (len(counts), counts.total()))
    if name not in BENCHMARKS:
        return []
    benchmark = BENCHMARKS[name]
    missing = [category for category in benchmark.counts if not counts[category]]
    lines = [f"no images of {', '.join(missing)}"] if missing else []
    lines += [
        f"{counts[category]} images of {category}, the paper has {known}"
        for category, known in benchmark.counts.items()
        if counts[category] not in (0, known) and known is not None
    ]
    lines += [
        f"{counts[category]} images of {category}, of which the paper has none"
        for category in sorted(counts.keys() - benchmark.counts.keys())
    ]
    known = list(benchmark.counts.values())
    total = sum(number or 0 for number in known)
    if None not in known and counts.total() != total:
        lines.append(f"{counts.total()} images in all, the paper has {total}")
    if not lines and benchmark.checksum not in ("", checksum):
        lines.append(
            f"the images, masks or their order are not those of the authors' pack (checksum "
            f"{checksum}, theirs {benchmark.checksum})"
        )
    return lines


def _differences_in_total(published: tuple[int, int], found: tuple[int, int]) -> list[str]:
    return [
        f"{here} {what}, the publication has {there}"
        for what, there, here in zip(("classes", "images"), published, found, strict=True)
        if here != there
    ]
