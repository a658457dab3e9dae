"""The mask files that an evaluation writes: FOLDER/<category>/<image>.png, 0 or 255."""

from collections.abc import Sequence
from pathlib import Path

from cosseg_jax import files
from cosseg_jax.data.eval_groups import EvalGroup
from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation.evaluator import OnImage, ScoredImage


def mask_path(folder: Path, category: str, name: str) -> Path:
    """The file of an image's mask: folder/<category>/<stem>.png.

    name: as in `Example.name`; of `cat/img_0001` the stem is `img_0001`.
    """
    return folder / category / f"{name.rpartition('/')[2]}.png"


def check_mask_paths(
    folder: Path, source: Source, groups: Sequence[EvalGroup], *, force: bool = False
) -> None:
    """Makes sure, before anything is computed, that every counted mask can be written.

    Raises UserError if two images would share a file, if a file exists and `force` is not
    given, or if the folder cannot be written.
    """
    writer_of: dict[Path, str] = {}
    for group in groups:
        for index, counted in zip(group.indices, group.counted, strict=True):
            path = mask_path(folder, source.categories[group.category], source.names[index])
            if counted and path in writer_of:
                raise UserError(
                    f"the masks of {writer_of[path]} and {source.names[index]} would both be "
                    f"{path}: rename one of the images, or leave --save_masks out"
                )
            if counted:
                writer_of[path] = source.names[index]
    files.check_all_writable(list(writer_of), "masks", force=force)


def mask_writer(folder: Path) -> OnImage:
    """An `on_image` callback that writes the mask of every image."""

    def on_image(image: ScoredImage) -> None:
        path = mask_path(folder, image.category, image.example.name)
        files.save_mask(path, image.mask)

    return on_image
