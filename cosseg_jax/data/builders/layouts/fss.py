"""FSS-1000: a thousand classes of ten images, each with its mask beside it.

Source:
  X. Li, T. Wei, Y. P. Chen, Y.-W. Tai, C.-K. Tang, "FSS-1000: A 1000-Class Dataset for Few-Shot
  Segmentation", CVPR 2020; https://github.com/HKUSTCV/FSS-1000
Verified: the folders, in public code that reads them. We have no copy of the data.
"""

from pathlib import Path

from cosseg_jax.data.builders.layouts.layout import (
    LabelledImage,
    Layout,
    check_none_missing,
    class_folders,
    files_by_stem,
)
from cosseg_jax.errors import UserError

FSS_PLACES = ("fewshot_data/fewshot_data", "fewshot_data", "FSS-1000", "fss-1000", "")
FSS_PHOTOS, FSS_MASKS = (".jpg", ".jpeg"), (".png",)


def find_fss(folder: Path) -> Path | None:
    """The folder of the class folders: one that holds photographs with masks of the same names."""
    for root in (folder / place for place in FSS_PLACES):
        if root.is_dir() and any(_is_class(path) for path in class_folders(root).values()):
            return root
    return None


def fss_images(root: Path) -> list[LabelledImage]:
    """All images by class and stem. Raises UserError for an image or a mask without the other."""
    found = []
    for category, folder in class_folders(root).items():
        images = files_by_stem(folder, FSS_PHOTOS)
        masks = files_by_stem(folder, FSS_MASKS)
        if not images:
            raise UserError(f"class folder {folder} has no .jpg; add its images, or remove it")
        lone = [images.get(s) or masks[s] for s in sorted(images.keys() ^ masks.keys())]
        check_none_missing(lone, "these have no image or mask of the same name; unpack it again")
        found += [LabelledImage(category, stem, images[stem], masks[stem]) for stem in images]
    return found


FSS = Layout(
    """expected FSS-1000:
  fewshot_data/<class>/<number>.jpg
  fewshot_data/<class>/<number>.png
Get it from https://github.com/HKUSTCV/FSS-1000""",
    find=find_fss,
    images=fss_images,
)


def _is_class(folder: Path) -> bool:
    images = files_by_stem(folder, FSS_PHOTOS)
    return bool(images) and images.keys() == files_by_stem(folder, FSS_MASKS).keys()
