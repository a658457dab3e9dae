"""Co-segmentation without training: the spatial modulator on a backbone's own descriptors.

The first principal direction of a group's descriptors splits them in two (`models.spatial`, Wei et
al. 2019). One step corrects this by what the images have in common: the foreground has one
prototype for the whole group, the background has one in each image, and a cell belongs to the
foreground if it resembles that prototype more than its own image's background.

`TrainingFree` replaces steps of `models.ssnm.SSNM`, so that whatever predicts with a trained
network predicts with it as well. It has no parameters beside those of its backbone.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from cosseg_jax.errors import check_choice
from cosseg_jax.models.backbones import BACKBONES, create_backbone
from cosseg_jax.models.fusion import STRIDES, check_stride
from cosseg_jax.models.layers import resize
from cosseg_jax.models.spatial import SMALL, SpatialOptions, spatial_modulator, unit_rows
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.types import (
    Count,
    FeatureMaps,
    GroupContext,
    ImageEncoding,
    Ndarray,
    Semantics,
    SpatialPrior,
)

GAIN = 4.0  # of the logits: S is 0 at the boundary and has mean square 1


class TrainingFree(SSNM):
    """An `SSNM` without trained parts: its masks are the spatial prior of the backbone's maps.

    spatial_stride: of the descriptors.
    """

    categories: int = 0
    features: int = 1
    use_semantic: bool = False

    def setup(self) -> None:
        self.network = create_backbone(self.backbone, dtype=self.dtype, module_name="backbone")

    def project(self, maps: FeatureMaps) -> ImageEncoding:
        """Keeps the descriptors alone."""
        descriptors = jnp.asarray(maps[STRIDES.index(self.spatial_stride)]).astype(jnp.float32)
        nothing = jnp.zeros((descriptors.shape[0], 1, 1, 1))
        return ImageEncoding(FeatureMaps(*[nothing] * len(STRIDES)), None, descriptors)

    def aggregate(
        self,
        fused: Float[Array | Ndarray, "B N h w d"] | None,
        statistics: None,
        groups: int,
        images: Count,
    ) -> GroupContext:
        """S of each group, from its descriptors, and no categories."""
        del statistics, images
        descriptors = jnp.asarray(fused)
        prior = spatial_modulator(descriptors, self.spatial)
        values = jax.vmap(resplit)(descriptors, prior.values)
        semantics = Semantics(jnp.ones((groups, self.features)), jnp.zeros((groups, 0)))
        return GroupContext(SpatialPrior(values, prior.loss), semantics)

    def segment(
        self, encoding: ImageEncoding, context: GroupContext, size: tuple[int, int]
    ) -> Float[Array, "B N H W"]:
        """Mask logits at (height, width) = `size`: S, upsampled."""
        del encoding
        values = jnp.asarray(context.prior.values)
        flat = values.reshape(-1, *values.shape[2:], 1)
        return GAIN * resize(flat, *size).reshape(*values.shape[:2], *size)


def resplit(
    x: Float[Array | Ndarray, "N h w d"], prior: Float[Array | Ndarray, "N h w"]
) -> Float[Array, "N h w"]:
    """S of a group by prototypes of its unit descriptors, with mean square 1.

    x: the group's descriptors. prior: S as the spatial modulator found it; its positive part weighs
    the foreground's prototype, its negative part those of the backgrounds.
    """
    x, prior = unit_rows(jnp.asarray(x), SMALL), jnp.asarray(prior)
    foreground = unit_rows(jnp.einsum("nhw,nhwd->d", jnp.maximum(prior, 0), x), SMALL)
    background = unit_rows(jnp.einsum("nhw,nhwd->nd", jnp.maximum(-prior, 0), x), SMALL)
    nearer = jnp.einsum("nhwd,d->nhw", x, foreground) - jnp.einsum("nhwd,nd->nhw", x, background)
    return nearer * jax.lax.rsqrt(jnp.mean(nearer**2) + SMALL)


def training_free(model: ConfigDict, categories: int) -> TrainingFree:
    """Builds what the `model` part of a config with `training_free` describes.

    Raises:
        UserError: naming the field whose value is not valid.
    """
    del categories
    check_choice("model.backbone", model.backbone, tuple(BACKBONES))
    check_stride(model.spatial_stride)
    spatial = SpatialOptions(**model.spatial)
    return TrainingFree(model.backbone, spatial_stride=model.spatial_stride, spatial=spatial)
