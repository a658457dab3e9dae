"""The head on a frozen DINOv3 ViT-S, on a VOC devkit.

    pip install -e ".[hub]"
    python train.py --config configs/dino_voc.py --config.data_dir=DATA --export dino_voc

It downloads the backbone's weights once (DINOv3 License); `--config.model.backbone=dinov2_small`
takes DINOv2's instead (Apache 2.0). It was not run to its end by us: no such weights could be had.
Its maps are not cached, for the fine ones are resized copies of the coarse ones.
"""

from ml_collections import ConfigDict

from configs import resnet50_voc


def get_config() -> ConfigDict:
    """The differences from the recipe for ResNet-50."""
    config = resnet50_voc.get_config()
    config.cache_dir = ""
    config.model.backbone = "dinov3_small"
    config.model.pretrained = "hub"
    config.model.spatial_stride = 16  # the stride of the tokens
    return config
