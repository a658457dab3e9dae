"""MobileSAM against the reference implementation on weights made from names (make_sam.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.sam_weights import CHANNELS, OBLONG, PROMPTS, SIDE, pixels
from goldens.weights import unpack_layout
from narrow_sam import GOLDEN, golden_prompts, narrow_sam, narrow_shapes, published_layout

from cosseg_jax.models.sam.prompts import ABSENT, Prompts
from cosseg_jax.models.sam.sam import mobile_sam
from cosseg_jax.models.sam.weights import from_torch, shapes_of

CLOSE = 2e-5  # of the largest value, in float32


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN))


@pytest.fixture(scope="module")
def variables(golden):
    return from_torch(published_layout(golden, "layout"), narrow_shapes())


@pytest.fixture(scope="module")
def whole(variables):
    """The embedding of the golden image and the masks of its prompts, in one program."""
    sam = narrow_sam()

    @jax.jit
    def run(variables, images, prompts):
        embedding = sam.apply(variables, images, method="encode")
        return embedding, sam.apply(variables, embedding, prompts, method="decode")

    return run(variables, pixels(SIDE, SIDE)[None], golden_prompts())


@pytest.fixture(scope="module")
def embedding(whole):
    return whole[0]


@pytest.fixture(scope="module")
def masks(whole):
    return whole[1]


@pytest.fixture(scope="module")
def decode(variables):
    sam = narrow_sam()
    compiled = jax.jit(lambda v, x, prompts: sam.apply(v, x, prompts, method="decode"))
    return lambda x, prompts: compiled(variables, x, prompts)


@pytest.fixture(scope="module")
def both(decode, embedding):
    """Masks of the image and, with the prompts in reverse order, of one of zeros."""
    images = jnp.concatenate([embedding, jnp.zeros_like(embedding)])
    prompts = jax.tree.map(lambda x: np.concatenate([x, x[:, ::-1]]), golden_prompts())
    return decode(images, prompts)


def assert_close(found, expected, tolerance: float = CLOSE):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.slow
def test_embedding_agrees_with_the_reference(embedding, golden):
    assert_close(embedding[0, ..., CHANNELS], golden["embedding"])


@pytest.mark.slow
def test_embedding_of_an_oblong_image_agrees_with_the_reference(variables, golden):
    encode = jax.jit(lambda v, images: narrow_sam().apply(v, images, method="encode"))
    found = encode(variables, pixels(*OBLONG)[None])
    assert_close(found[0, ..., CHANNELS], golden["oblong"])


@pytest.mark.parametrize("index", range(len(PROMPTS)))
def test_masks_agree_with_the_reference(masks, golden, index):
    """Also where absent points fill up a prompt, and beside prompts with a mask."""
    assert_close(masks.logits[0, index], golden["logits"][index])
    assert_close(masks.iou[0, index], golden["iou"][index])


@pytest.mark.slow
def test_prompts_without_masks_share_the_image_and_give_the_same(decode, embedding, masks):
    with_masks = golden_prompts()
    unmasked = np.flatnonzero(~with_masks.has_mask[0])
    prompts = Prompts(with_masks.points[:, unmasked], with_masks.labels[:, unmasked])
    found = decode(embedding, prompts)
    assert_close(found.logits[0], masks.logits[0, unmasked])
    assert_close(found.iou[0], masks.iou[0, unmasked])


@pytest.mark.slow
def test_images_of_a_batch_get_their_own_masks(both, masks):
    assert_close(both.logits[0], masks.logits[0])
    other = np.abs(both.logits[1, ::-1] - both.logits[0]).max()
    assert other > 0.01 * np.abs(both.logits[0]).max()


@pytest.mark.slow
def test_absent_points_may_lie_anywhere(decode, embedding, both):
    prompts = golden_prompts()
    moved = np.where((prompts.labels == ABSENT)[..., None], np.float32(77), prompts.points)
    prompts = prompts._replace(points=moved)
    images, prompts = jax.tree.map(lambda x: np.concatenate([x, x]), (embedding, prompts))
    np.testing.assert_array_equal(decode(images, prompts).logits[0], both.logits[0])


@pytest.mark.slow
def test_bfloat16_computes_in_it_and_gives_masks_in_float32():
    sam = narrow_sam(jnp.bfloat16)
    prompts = Prompts(np.zeros((1, 1, 1, 2), np.float32), np.ones((1, 1, 1), np.int32))

    def both(module, images):
        embedding = module.encode(images)
        return embedding, module.decode(embedding, prompts)

    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    (embedding, masks), variables = jax.eval_shape(
        lambda images: sam.init_with_output(jax.random.key(0), images, method=both), images
    )
    assert embedding.dtype == jnp.bfloat16
    assert masks.logits.dtype == masks.iou.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


@pytest.mark.slow
def test_published_network_has_the_references_layout(golden):
    """Every tensor of the reference has its place in our MobileSAM, and no other is left."""
    layout = unpack_layout(golden["layout_published"])
    zeros = {name: np.broadcast_to(np.float32(0), shape) for name, shape in layout.items()}
    from_torch(zeros, shapes_of(mobile_sam()))


def refused(images: np.ndarray) -> None:
    sam = narrow_sam()
    jax.eval_shape(lambda: sam.init(jax.random.key(0), images, method="encode"))


def test_sides_that_16_does_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"images of 100 x 96 pixels; .* multiples of 16"):
        refused(np.zeros((1, 100, 96, 3), np.float32))


def test_images_beyond_the_frame_are_refused():
    with pytest.raises(ValueError, match=r"images of 64 x 256 pixels; .* image_size = 128"):
        refused(np.zeros((1, 64, 256, 3), np.float32))


def test_masks_of_another_size_are_refused(decode, embedding):
    wrong = golden_prompts()._replace(masks=np.zeros((1, len(PROMPTS), 64, 64), np.float32))
    with pytest.raises(ValueError, match=r"masks of prompts are 64 x 64; .* takes 32 x 32"):
        decode(embedding, wrong)
