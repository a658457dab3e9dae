"""The mask files that an evaluation writes: FOLDER/<category>/<image>.png, 0 or 255."""

from collections.abc import Sequence
from pathlib import Path

from cosseg_jax import files
from cosseg_jax.data.eval_groups import EvalGroup
from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation.evaluator import OnImage, ScoredImage


def mask_path(folder: Path, category: str, name: str) -> Path:
    """The file of an image's mask: folder/<category>/<stem>.png, both as every system allows them.

    name: as in `Example.name`; of `cat/img_0001` the stem is `img_0001`.
    """
    stem = files.portable_name(name.rpartition("/")[2])
    return folder / files.portable_name(category) / f"{stem}.png"


def check_mask_paths(
    folder: Path, source: Source, groups: Sequence[EvalGroup], *, force: bool = False
) -> None:
    """Makes sure, before anything is computed, that every counted mask can be written.

    Raises UserError if two images would share a file, if a file exists and `force` is not
    given, or if the folder cannot be written.
    """
    paths: dict[str, Path] = {}
    owners: dict[str, str] = {}
    for group in groups:
        category = source.categories[group.category]
        counted = (index for index, each in zip(group.indices, group.counted, strict=True) if each)
        for name in (source.names[index] for index in counted):
            path = mask_path(folder, category, name)
            key = files.name_key(str(path))
            if key in owners:
                raise UserError(
                    f"the masks of {owners[key]} and {name} would both be {path}: rename one of "
                    "the images, or leave --save_masks out"
                )
            owners[key], paths[key] = name, path
    files.check_all_writable(list(paths.values()), "masks", force=force)


def mask_writer(folder: Path) -> OnImage:
    """An `on_image` callback that writes the mask of every image."""

    def on_image(image: ScoredImage) -> None:
        path = mask_path(folder, image.category, image.example.name)
        files.save_mask(path, image.mask)

    return on_image
