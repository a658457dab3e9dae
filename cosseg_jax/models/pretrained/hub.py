"""Published weights on the Hugging Face hub, each downloaded once.

huggingface_hub keeps the files in its cache and respects HF_HUB_OFFLINE, HF_HOME, HF_TOKEN and the
like. Where a file's size and SHA-256 are known here, they are checked.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from cosseg_jax.errors import MissingPackageError, UserError, check_choice

HUB = "hub"  # as `model.pretrained`: the backbone's weights in PUBLISHED
HUB_PREFIX = "hub:"  # the weights of the repository that follows


class HubFile(NamedTuple):
    """A file on the hub.

    revision: of the repository; None for its newest.
    size, sha256: of the file, in bytes and in hexadecimal digits; None if they are not checked.
    """

    repository: str
    file: str = "model.safetensors"
    revision: str | None = None
    size: int | None = None
    sha256: str | None = None


PUBLISHED = {  # of each backbone
    "vgg16": HubFile("timm/vgg16.tv_in1k"),
    "vgg16_bn": HubFile("timm/vgg16_bn.tv_in1k"),
    "hrnet_w18": HubFile("timm/hrnet_w18.ms_in1k"),
    "hrnet_w32": HubFile("timm/hrnet_w32.ms_in1k"),
    "hrnet_w48": HubFile("timm/hrnet_w48.ms_in1k"),
    "resnet50": HubFile("timm/resnet50.tv_in1k"),
    "dinov2_small": HubFile("facebook/dinov2-small"),
    "dinov2_base": HubFile("facebook/dinov2-base"),
    "dinov2_reg_small": HubFile("facebook/dinov2-with-registers-small"),
    "dinov2_reg_base": HubFile("facebook/dinov2-with-registers-base"),
    "dinov3_small": HubFile("timm/vit_small_patch16_dinov3.lvd1689m"),
    "dinov3_base": HubFile("timm/vit_base_patch16_dinov3.lvd1689m"),
}


def is_on_hub(spec: str) -> bool:
    """Whether `model.pretrained` asks for a download."""
    return spec == HUB or spec.startswith(HUB_PREFIX)


def backbone_file(spec: str, backbone_name: str) -> Path:
    """The downloaded weights of a backbone: "hub" or "hub:OWNER/NAME"; raises as `download`."""
    if spec == HUB:
        check_choice("model.pretrained is 'hub', and model.backbone", backbone_name, PUBLISHED)
        published = PUBLISHED[backbone_name]
    else:
        published = HubFile(spec.removeprefix(HUB_PREFIX))
    return download(
        published,
        f"the weights of {backbone_name}",
        extra="hub",
        instead="name a downloaded file: model.pretrained=FILE, or --network NAME:FILE",
    )


def download(published: HubFile, what: str, *, extra: str, instead: str) -> Path:
    """The file, from the cache of huggingface_hub or downloaded into it.

    Args:
        what: what the file holds, for messages.
        extra: of this package, which installs huggingface_hub.
        instead: what to do without the hub, for messages.

    Raises:
        MissingPackageError: where huggingface_hub is not installed.
        ConnectionError: where the file is neither in the cache nor can be downloaded.
        UserError: where the download is not the published file.
    """
    try:
        from huggingface_hub import hf_hub_download  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingPackageError(
            f"{what} are downloaded by huggingface_hub, which is not installed: "
            f"pip install 'cosseg-jax[{extra}]', or {instead}"
        ) from error
    try:
        path = hf_hub_download(published.repository, published.file, revision=published.revision)
    except Exception as error:  # its errors, and those of its HTTP client, differ by version
        raise ConnectionError(
            f"{what} ({published.file} of huggingface.co/{published.repository}) cannot be "
            f"downloaded ({type(error).__name__}): connect to the network or {instead}"
        ) from error
    _check(Path(path), published, instead)
    return Path(path)


def _check(path: Path, published: HubFile, instead: str) -> None:
    again = f"delete it to download it again, or {instead}"
    size = path.stat().st_size
    if published.size not in (None, size):
        raise UserError(
            f"{path} has {size} bytes, the published {published.file} has {published.size}: {again}"
        )
    if published.sha256 is None:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != published.sha256:
        raise UserError(
            f"{path} has the SHA-256 {digest}, the published {published.file} has "
            f"{published.sha256}: {again}"
        )
