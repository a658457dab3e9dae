"""Which images of COCO are in the paper's training set, and in which categories (section 4.1).

An image belongs to a category when it has an instance of it that is no crowd and larger than
`min_area`; a category counts when it has at least `min_images` such images. On the whole of
train2017 these are 78 categories with 200,932 images, each image counted in each of its categories.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from cosseg_jax.errors import UserError

TRAIN2017_IMAGES = 118_287
PAPER_COUNTS = {  # images of each category in the whole of train2017, in the order of COCO's ids
    **{"person": 49_355, "bicycle": 1674, "car": 5187, "motorcycle": 2726, "airplane": 2488},
    **{"bus": 3364, "train": 3463, "truck": 3767, "boat": 1843, "traffic light": 726},
    **{"fire hydrant": 1063, "stop sign": 994, "parking meter": 381, "bench": 3069, "bird": 1485},
    **{"cat": 3754, "dog": 3378, "horse": 2428, "sheep": 1063, "cow": 1521, "elephant": 1999},
    **{"bear": 899, "zebra": 1718, "giraffe": 2382, "backpack": 1578, "umbrella": 2506},
    **{"handbag": 1711, "tie": 1234, "suitcase": 1740, "frisbee": 440, "skis": 471},
    **{"snowboard": 564, "sports ball": 201, "kite": 722, "baseball bat": 210},
    **{"baseball glove": 225, "skateboard": 1074, "surfboard": 1481, "tennis racket": 1158},
    **{"bottle": 2291, "wine glass": 1094, "cup": 3870, "fork": 835, "knife": 915, "spoon": 603},
    **{"bowl": 3981, "banana": 1548, "apple": 879, "sandwich": 1947, "orange": 963},
    **{"broccoli": 1548, "carrot": 837, "hot dog": 909, "pizza": 2831, "donut": 1007},
    **{"cake": 2450, "chair": 7949, "couch": 4164, "potted plant": 2417, "bed": 3615},
    **{"dining table": 10_560, "toilet": 2977, "tv": 3572, "laptop": 2813, "mouse": 339},
    **{"remote": 495, "keyboard": 1398, "cell phone": 963, "microwave": 973, "oven": 2436},
    **{"sink": 2469, "refrigerator": 2167, "book": 1618, "clock": 1405, "vase": 1612},
    **{"scissors": 430, "teddy bear": 1789, "toothbrush": 221},
}


class Rule(NamedTuple):
    """The two thresholds; the defaults are the paper's.

    min_area: in pixels; an instance must have more.
    min_images: how many images a category needs in the training split.
    """

    min_area: float = 4000.0
    min_images: int = 100


PAPER_RULE = Rule()


def kept_categories(
    members: Mapping[int, Collection[int]], names: Mapping[int, str], rule: Rule
) -> tuple[int, ...]:
    """The ids of the categories with enough images, ascending.

    Args:
      members: for each image of the training split, the ids of its categories.
      names: of the categories, by id.
      rule: the thresholds.

    Raises UserError when no category has enough.
    """
    counts = Counter(category for of_one in members.values() for category in of_one)
    kept = sorted(category for category, count in counts.items() if count >= rule.min_images)
    if not kept:
        found = counts.most_common(1)
        most = f"{found[0][1]} ({names[found[0][0]]})" if found else "0"
        raise UserError(
            f"no category has {rule.min_images} images with an instance above "
            f"{rule.min_area:g} pixels; the most that one has is {most}. Use the whole of "
            "train2017, or prepare this set with smaller thresholds (min_images, min_area)"
        )
    return tuple(kept)


def differences_from_rule(num_images: int, counts: Mapping[str, int], rule: Rule) -> list[str]:
    """How the categories of the training split differ from the paper's, a line each.

    Args:
      num_images: the images that the annotation file lists. Only the whole of train2017 has
        anything to be compared with.
      counts: the number of images of each kept category.
      rule: the thresholds by which they were counted.
    """
    if num_images != TRAIN2017_IMAGES or rule != PAPER_RULE:
        return []
    lines = [
        f"{name}: {counts.get(name, 0)} images, where the paper's rule gives "
        f"{PAPER_COUNTS.get(name, 0)}"
        for name in (*PAPER_COUNTS, *(name for name in counts if name not in PAPER_COUNTS))
        if counts.get(name, 0) != PAPER_COUNTS.get(name, 0)
    ]
    if sum(counts.values()) != sum(PAPER_COUNTS.values()):
        found = f"{sum(counts.values())} in {len(counts)} categories"
        expected = f"{sum(PAPER_COUNTS.values())} in {len(PAPER_COUNTS)}"
        lines.insert(0, f"images in all: {found}, where the paper's rule gives {expected}")
    return lines
