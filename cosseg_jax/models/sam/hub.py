"""Where the weights of MobileSAM come from: a file of the user's, or one download.

They are the authors' mobile_sam.pt (Apache-2.0), 40.7 MB, on the Hugging Face hub as one of the
authors put it there. Size and SHA-256 are checked.
"""

from pathlib import Path

from cosseg_jax.errors import MissingFileError
from cosseg_jax.models.pretrained.hub import HubFile, download

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
    return download(
        HubFile(REPOSITORY, FILE, REVISION, SIZE, SHA256),
        "MobileSAM's weights",
        extra="sam",
        instead="give --sam-weights FILE",
    )
