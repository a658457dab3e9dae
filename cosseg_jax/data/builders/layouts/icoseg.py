"""iCoseg as Carnegie Mellon and Cornell distribute it, with the eight groups that the paper uses.

images/ and ground_truth/ hold a folder for each of 38 groups. Their names begin with a number, but
for brown_bear, and some numbers stand for several groups, so that the words decide. In the first
eight of the folders a JPEG copy of each mask lies beside the PNG; only the PNG counts. Nothing is
void.

Other groups, or copies that call them otherwise, need a list `cosegmentation.txt` beside images/,
with `<class> <folder>` a line, such as `helicopter 025 Airshows-helicopter`.

Source:
  D. Batra, A. Kowdle, D. Parikh, J. Luo, T. Chen, "iCoseg: Interactive Co-segmentation with
  Intelligent Scribble Guidance", CVPR 2010; http://chenlab.ece.cornell.edu/projects/touch-coseg/
Verified, on a public copy of all 643 photographs: the names of the groups, the JPEG copies, 1-bit
masks of the photographs' sizes. Assumed: that panda1 is the pandas of the lower number. The numbers
of photographs are 19, 5, 33, 15, 12, 24, 25 and 21, in the order of GROUPS.
"""

from collections.abc import Iterable
from pathlib import Path

from cosseg_jax.data.builders.layouts.entry import Entry, Layout, binary_labels, folders_of
from cosseg_jax.data.builders.layouts.originals import (
    LIST_NAME,
    Line,
    check_there,
    list_file,
    pictures_by_stem,
    read_list,
    root_at_or_below,
)

PARTS = ("images", "ground_truth")
ARCHIVE = "CMU_Cornell_iCoseg_dataset"
PLACES = ("", "dataset_public", f"{ARCHIVE}/dataset_public", ARCHIVE, "iCoseg", "icoseg")
MASK_SUFFIXES = (".bmp", ".png")
GROUPS = {  # the folder in the distribution, up to where the photographer's album begins
    "bear2": "002 Alaskan Brown Bear",
    "brownbear": "brown_bear",
    "cheetah": "028 Cheetah",
    "elephant": "021 Elephants",
    "helicopter": "025 Airshows-helicopter",
    "hotballoon": "041 Hot Balloons",
    "panda1": "023 Pandas-Tai-Land",
    "panda2": "029 Pandas-National Zoo",
}
DESCRIPTION = f"""expected the CMU-Cornell iCoseg data set:
  {ARCHIVE}/dataset_public/images/<group>/<name>.jpg
  {ARCHIVE}/dataset_public/ground_truth/<group>/<name>.png
Get it from http://chenlab.ece.cornell.edu/projects/touch-coseg/"""


def find(folder: Path) -> Path | None:
    """The folder that holds images/ and ground_truth/, or None."""
    return root_at_or_below(folder, PLACES, PARTS)


def entries(root: Path) -> list[Entry]:
    """The photographs of the listed groups, or without a list of the paper's eight.

    Raises FileNotFoundError for a group, photograph or mask that is missing, ValueError for a bad
    list or a class with several folders.
    """
    listing = list_file([root])
    folders = [path.name for path in folders_of(root / "images")]
    lines = read_list(listing) if listing else _paper_groups(root, folders)
    named = [root / part / line.name for line in lines for part in PARTS]
    check_there(
        [path for path in named if not path.is_dir()],
        f"{listing or 'the data set'} has such a group; unpack the whole archive again",
    )
    found = [entry for line in lines for entry in _group_entries(root, line)]
    return sorted(found, key=lambda entry: (entry.category, entry.stem))


LAYOUT = Layout(DESCRIPTION, find, entries)


def class_of(folder: str) -> str | None:
    """The paper's class for which a group's folder stands, or None.

    Case, punctuation and the number do not count. The folder may be called as in the distribution,
    after it only its beginning, or as the class itself.
    """
    for category, original in GROUPS.items():
        if _plain(folder) in (category, _plain(category), f"{category}s"):
            return category
        if _words(folder)[: len(_words(original))] == _words(original):
            return category
    return None


def _paper_groups(root: Path, folders: Iterable[str]) -> list[Line]:
    found: dict[str, str] = {}
    for folder in folders:
        category = class_of(folder)
        if category in found:
            raise ValueError(
                f"{root / 'images'}: {found[category]!r} and {folder!r} are both class "
                f"{category!r}; keep one, or list the groups in {root / LIST_NAME}"
            )
        if category is not None:
            found[category] = folder
    missing = [
        f"{category} ({GROUPS[category]!r} ...)" for category in GROUPS if category not in found
    ]
    check_there(
        missing,
        f"{root / 'images'} needs these groups: {', '.join(missing)}; it has {sorted(folders)}. "
        f"Unpack the whole archive again, or list the groups in {root / LIST_NAME}",
    )
    return [Line(*pair) for pair in found.items()]


def _group_entries(root: Path, line: Line) -> list[Entry]:
    images = pictures_by_stem(root / "images" / line.name)
    masks = pictures_by_stem(root / "ground_truth" / line.name, MASK_SUFFIXES)
    lone = [images.get(stem) or masks[stem] for stem in sorted(images.keys() ^ masks.keys())]
    if lone or not images:
        raise FileNotFoundError(
            f"group {line.name!r} in {root} has {len(images)} photographs and {len(masks)} masks; "
            + (
                f"{lone[0]} is the first without its counterpart"
                if lone
                else "expected some of both"
            )
        )
    return [Entry(line.category, stem, images[stem], masks[stem], binary_labels) for stem in images]


def _words(name: str) -> list[str]:
    """The words of a folder's name, without case and without the number it may begin with."""
    words = "".join(c if c.isalnum() else " " for c in name.casefold()).split()
    return words[1:] if words and words[0].isdecimal() else words


def _plain(name: str) -> str:
    return "".join(_words(name))
