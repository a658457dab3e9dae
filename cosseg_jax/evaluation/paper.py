"""The numbers that the paper prints for its own and for other methods, in percent (tables 1 to 5).

One misprint is corrected as its authors do, and marked: table 2, HRNet, car. Footnotes state what
the tables leave out or what others report differently.
"""

from typing import NamedTuple

OURS_VGG16 = "paper, VGG16"
OURS_HRNET = "paper, HRNet"

PrintedNumber = int | float  # an int where the paper prints whole numbers


class Published(NamedTuple):
    """One row of a table; None where the table has a dash.

    P, J: averages as printed, or over the printed classes where the table has no average.
    per_class_P, per_class_J: one number per class of the table, or empty.
    """

    method: str
    P: PrintedNumber | None
    J: PrintedNumber | None
    per_class_J: tuple[PrintedNumber | None, ...] = ()
    per_class_P: tuple[PrintedNumber | None, ...] = ()


class Footnote(NamedTuple):
    """A remark on a number.

    method: that of its row, or "" for all rows. column: `P` or `J`, or `car J` for a class.
    """

    method: str
    column: str
    text: str


class Table(NamedTuple):
    """One of the paper's tables.

    classes: as in the data sets of this package.
    labels: the paper's headings for the same classes.
    """

    number: int
    title: str
    classes: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[Published, ...]
    footnotes: tuple[Footnote, ...] = ()


_MSRC = Table(
    1,
    "sub-set of MSRC",
    (),
    (),
    (
        Published("Vicente et al. 2011", 90.2, 70.6),
        Published("Rubinstein et al. 2013", 92.2, 74.7),
        Published("Wang et al. 2013", 92.2, None),
        Published("Faktor and Irani 2013", 92.0, 77.0),
        Published("Mukherjee et al. 2018", 84.0, 67.0),
        Published("Li et al. 2018", 92.4, 79.9),
        Published("Chen et al. 2018", 95.2, 77.7),
        Published(OURS_VGG16, 94.3, 79.4),
        Published(OURS_HRNET, 95.2, 81.9),
    ),
    (
        Footnote(
            "Li et al. 2018", "J", "as the paper cites it; its authors' own page has 95.4 / 82.9"
        ),
    ),
)


def _row_by_class(method: str, *P_and_J: float | None) -> Published:
    """A row of table 2: P and J of each class in turn."""
    P, J = P_and_J[0::2], P_and_J[1::2]
    return Published(method, _average(P), _average(J), per_class_J=J, per_class_P=P)


def _average(values: tuple[float | None, ...]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if len(known) == len(values) else None


_INTERNET = Table(
    2,
    "Internet",
    ("airplane", "car", "horse"),
    ("airplane", "car", "horse"),
    (
        _row_by_class("Joulin et al. 2012", 47.5, 11.7, 59.2, 35.2, 64.2, 29.5),
        _row_by_class("Rubinstein et al. 2013", 88.0, 55.8, 85.4, 64.4, 82.8, 51.6),
        _row_by_class("Chen et al. 2014", 90.2, 40.3, 87.6, 64.9, 86.2, 33.4),
        _row_by_class("Jerripothula et al. 2016", 90.5, 61.0, 88.0, 71.0, 88.3, 60.0),
        _row_by_class("Quan et al. 2016", 91.0, 56.3, 88.5, 66.8, 89.3, 58.1),
        _row_by_class("Sun and Ponce 2016", 88.6, 36.3, 87.0, 73.4, 87.6, 54.7),
        _row_by_class("Tao et al. 2017", 79.8, 42.8, 84.8, 66.4, 85.7, 55.3),
        _row_by_class("Yuan et al. 2017", 92.6, 66.0, 90.4, 72.0, 90.2, 65.0),
        _row_by_class("Li et al. 2018", 94.1, 65.4, 93.9, 82.8, 92.4, 69.4),
        _row_by_class("Chen et al. 2018", None, 65.9, None, 76.9, None, 69.1),
        _row_by_class("Chen et al. 2019", 94.1, 65.0, 94.0, 82.0, 92.2, 63.0),
        _row_by_class(OURS_VGG16, 94.6, 66.7, 89.7, 68.1, 93.2, 66.2),
        _row_by_class(OURS_HRNET, 94.8, 69.6, 91.6, 73.9, 94.4, 70.2),
    ),
    (
        Footnote("", "P", "the mean over the printed classes; the table itself has no average"),
        Footnote("", "J", "the mean over the printed classes; the table itself has no average"),
        Footnote(OURS_HRNET, "car J", "82.5 in print, a misprint that the authors have corrected"),
    ),
)


def _jaccards(method: str, P: float | None, J: float, *per_class_J: float) -> Published:
    return Published(method, P, J, per_class_J=per_class_J)


_ICOSEG_CLASSES = (
    *("bear2", "brownbear", "cheetah", "elephant"),
    *("helicopter", "hotballoon", "panda1", "panda2"),
)
_ICOSEG = Table(
    3,
    "sub-set of iCoseg",
    _ICOSEG_CLASSES,
    _ICOSEG_CLASSES,
    (
        _jaccards(
            "Rubinstein et al. 2013", None, 70.2, 65.3, 73.6, 69.7, 68.8, 80.3, 65.7, 75.9, 62.5
        ),
        _jaccards(
            "Jerripothula et al. 2014", None, 73.8, 70.1, 66.2, 75.4, 73.5, 76.6, 76.3, 80.6, 71.8
        ),
        _jaccards(
            "Faktor and Irani 2013", None, 78.2, 72.0, 92.0, 67.0, 67.0, 82.0, 88.0, 70.0, 55.0
        ),
        _jaccards(
            "Jerripothula et al. 2016", None, 70.4, 67.5, 72.5, 78.0, 79.9, 80.0, 80.2, 72.2, 61.4
        ),
        _jaccards("Li et al. 2018", None, 84.2, 88.3, 92.0, 68.8, 84.6, 79.0, 91.7, 82.6, 86.7),
        _jaccards("Chen et al. 2018", None, 86.0, 88.3, 91.5, 71.3, 84.4, 76.5, 94.0, 91.8, 90.3),
        _jaccards(OURS_VGG16, None, 88.0, 87.4, 90.3, 84.9, 90.6, 76.6, 94.1, 90.6, 87.5),
        _jaccards(OURS_HRNET, None, 89.2, 91.1, 89.6, 88.6, 90.9, 76.4, 94.2, 90.4, 87.5),
    ),
)


def _whole_numbers(method: str, P: float, J: int, per_class_J: str = "") -> Published:
    """A row of table 4, whose J are whole numbers, given as one string."""
    return Published(method, P, J, tuple(int(value) for value in per_class_J.split()))


_PASCAL = Table(
    4,
    "PASCAL-VOC",
    (
        *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
        *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
        *("train", "tvmonitor"),
    ),
    (
        *("A.P.", "Bike", "Bird", "Boat", "Bottle", "Bus", "Car", "Cat", "Chair", "Cow"),
        *("D.T.", "Dog", "Horse", "M.B.", "P.S.", "P.P.", "Sheep", "Sofa", "Train", "TV"),
    ),
    (
        _whole_numbers(
            "Faktor and Irani 2013",
            84.0,
            46,
            "65 14 49 47 44 61 55 49 20 59 22 39 52 51 31 27 51 32 55 35",
        ),
        _whole_numbers(
            "Lee et al. 2015",
            69.8,
            33,
            "50 15 29 37 27 55 35 34 13 40 10 37 49 44 24 21 51 30 42 16",
        ),
        _whole_numbers(
            "Chang and Wang 2015",
            82.4,
            29,
            "48 9 32 32 21 34 42 35 13 50 6 22 37 39 19 17 41 21 41 18",
        ),
        _whole_numbers("Quan et al. 2016", 89.0, 52),
        _whole_numbers(
            "Hati et al. 2016",
            72.5,
            25,
            "44 13 26 31 28 33 26 29 14 24 11 27 23 22 18 17 33 27 26 25",
        ),
        _whole_numbers(
            "Jerripothula et al. 2016",
            85.2,
            45,
            "64 20 54 48 42 64 55 57 21 61 19 49 57 50 34 28 53 39 56 38",
        ),
        _whole_numbers(
            "Jerripothula et al. 2017",
            80.1,
            40,
            "53 14 47 43 42 62 50 49 20 56 13 38 50 45 29 26 40 37 51 37",
        ),
        _whole_numbers(
            "Wang et al. 2017",
            84.3,
            52,
            "75 26 53 59 51 70 59 70 35 63 26 56 63 59 35 28 67 52 52 48",
        ),
        _whole_numbers("Li et al. 2018", 94.2, 65),
        _whole_numbers(
            "Hsu et al. 2018",
            91.0,
            60,
            "77 27 70 61 58 79 76 79 29 75 28 63 66 65 37 42 75 67 68 51",
        ),
        _whole_numbers(
            OURS_VGG16, 93.7, 66, "83 35 75 69 58 87 77 80 26 86 7 74 79 71 45 39 81 68 83 59"
        ),
        _whole_numbers(
            OURS_HRNET, 94.9, 71, "82 37 74 70 67 88 82 77 36 87 15 75 82 72 58 46 82 77 84 69"
        ),
    ),
)

TABLES: dict[str, Table] = {
    "msrc": _MSRC,
    "internet": _INTERNET,
    "icoseg": _ICOSEG,
    "pascal": _PASCAL,
}

# table 5, on PASCAL-VOC, by variant of the network
ABLATION: dict[str, Published] = {
    "full": Published("full", 94.9, 71),
    "no_spatial": Published("no_spatial", 94.5, 69),
    "no_semantic": Published("no_semantic", 85.0, 38),
    "neither": Published("neither", 82.0, 27),
}
