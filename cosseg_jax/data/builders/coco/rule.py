"""Which photographs of COCO are in the paper's training set, and in which categories (section 4.1).

A photograph belongs to a category when it has an instance of it that is no crowd and larger than
`min_area`; a category counts when it has at least `min_images` such photographs. On the whole of
train2017 that makes 78 categories with 200,932 entries, an entry being a photograph in a category.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

TRAIN2017_IMAGES = 118_287
EXPECTED = {  # photographs of each category in the whole of train2017, in the order of COCO's ids
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
    """The two thresholds; as they are, the paper's.

    min_area: in pixels; an instance must have more.
    min_images: the photographs that a category needs in the training split.
    """

    min_area: float = 4000.0
    min_images: int = 100


PAPER_RULE = Rule()


def kept_categories(
    members: Mapping[int, Collection[int]], names: Mapping[int, str], rule: Rule
) -> tuple[int, ...]:
    """The ids of the categories with enough photographs, ascending.

    Args:
      members: for each photograph of the training split, the ids of its categories.
      names: of the categories, by id.
      rule: the thresholds.

    Raises ValueError when no category has enough.
    """
    counts = Counter(category for of_one in members.values() for category in of_one)
    kept = sorted(category for category, count in counts.items() if count >= rule.min_images)
    if not kept:
        found = counts.most_common(1)
        most = f"{found[0][1]} ({names[found[0][0]]})" if found else "0"
        raise ValueError(
            f"no category has {rule.min_images} photographs with an instance above "
            f"{rule.min_area:g} pixels; the most that one has is {most}. Use the whole of "
            "train2017, or prepare this set with smaller thresholds (min_images, min_area)"
        )
    return tuple(kept)


def differences(num_images: int, counts: Mapping[str, int], rule: Rule) -> list[str]:
    """How the categories of the training split differ from the paper's, a line each.

    Args:
      num_images: the photographs that the annotation file lists. Other sets than the whole of
        train2017 have nothing to be compared with.
      counts: photographs of each kept category.
      rule: the thresholds by which they were counted.
    """
    if num_images != TRAIN2017_IMAGES or rule != PAPER_RULE:
        return []
    lines = [
        f"{name}: {counts.get(name, 0)} photographs, where the paper's rule gives "
        f"{EXPECTED.get(name, 0)}"
        for name in (*EXPECTED, *(name for name in counts if name not in EXPECTED))
        if counts.get(name, 0) != EXPECTED.get(name, 0)
    ]
    if sum(counts.values()) != sum(EXPECTED.values()):
        entries = f"{sum(counts.values())} in {len(counts)} categories"
        expected = f"{sum(EXPECTED.values())} in {len(EXPECTED)}"
        lines.insert(0, f"entries: {entries}, where the paper's rule gives {expected}")
    return lines
