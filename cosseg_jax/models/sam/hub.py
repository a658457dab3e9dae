"""Where the weights of MobileSAM come from: a file of the user's, or one download.

They are the authors' mobile_sam.pt (Apache-2.0), 40.7 MB, on the Hugging Face hub as one of the
authors put it there. Size and SHA-256 are checked; huggingface_hub keeps the file in its cache and
respects HF_HUB_OFFLINE, HF_HOME and the like.
"""

import hashlib
from pathlib import Path

from cosseg_jax.errors import MissingFileError, MissingPackageError, UserError

REPOSITORY = "dhkim2810/MobileSAM"
REVISION = "87955d8f45ddcaa0212ca6ebcd13785902988e2a"
FILE = "mobile_sam.pt"
SIZE = 40_728_226  # bytes
SHA256 = "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"


def sam_weights(path: str | Path | None = None) -> Path:
    """The file of weights: `path` where it is given, else the published one, downloaded once.

    Raises MissingFileError where there is no file at `path`; MissingPackageError where
    huggingface_hub is not installed; ConnectionError where the file is neither in its cache nor
    can be downloaded; UserError where the download is not the published file.
    """
    if path is not None:
        given = Path(path).expanduser()
        if not given.is_file():
            raise MissingFileError(f"there is no file of SAM's weights at {given}")
        return given
    downloaded = _download()
    _check_digest(downloaded)
    return downloaded


def _download() -> Path:
    try:
        from huggingface_hub import hf_hub_download  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingPackageError(
            "MobileSAM's weights are downloaded by huggingface_hub, which is not installed: "
            "pip install 'cosseg-jax[sam]', or give --sam-weights FILE"
        ) from error
    try:
        return Path(hf_hub_download(REPOSITORY, FILE, revision=REVISION))
    except Exception as error:  # its errors, and those of its HTTP client, differ by version
        raise ConnectionError(
            f"MobileSAM's weights ({FILE} of huggingface.co/{REPOSITORY}) cannot be downloaded "
            f"({type(error).__name__}): connect to the network or give --sam-weights FILE"
        ) from error


def _check_digest(path: Path) -> None:
    size = path.stat().st_size
    if size != SIZE:
        raise UserError(f"{path} has {size} bytes, the published {FILE} has {SIZE}: {AGAIN}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise UserError(
            f"{path} has the SHA-256 {digest}, the published {FILE} has {SHA256}: {AGAIN}"
        )


AGAIN = "delete it to download it again, or give --sam-weights FILE"
