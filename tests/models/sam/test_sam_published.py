"""MobileSAM's published weights on a photo of a real thing: a box and points give its mask."""

import jax
import numpy as np
import pytest
from PIL import Image

from cosseg_jax.models.sam.frame import frame_of, to_frame, to_image, to_input
from cosseg_jax.models.sam.prompts import Prompts, prompt_of, stack
from cosseg_jax.models.sam.sam import mobile_sam
from cosseg_jax.models.sam.weights import load_sam

SIDE = 512
IMAGE, CATEGORY = "2007_000033", 1  # aeroplanes


@pytest.fixture(scope="module")
def weights(data_dir):
    path = data_dir / "weights" / "mobile_sam.npz"
    if not path.is_file():
        pytest.skip(f"needs the weights of MobileSAM as {path}")
    return path


@pytest.mark.slow
def test_a_box_gives_the_mask_of_what_is_in_it(data_dir, weights):
    folder = data_dir / "VOCdevkit" / "VOC2012"
    with Image.open(folder / "JPEGImages" / f"{IMAGE}.jpg") as opened:
        image = np.asarray(opened.convert("RGB"))
    with Image.open(folder / "SegmentationClass" / f"{IMAGE}.png") as opened:
        labels = np.asarray(opened)
    truth, valid = labels == CATEGORY, labels != 255
    frame = frame_of(truth.shape, SIDE)
    rows, columns = np.nonzero(truth)
    corners = [(columns.min(), rows.min()), (columns.max(), rows.max())]
    prompt = stack([prompt_of(box=to_frame(corners, frame).ravel())])

    sam = mobile_sam(SIDE)
    variables = load_sam(weights, sam)
    prompts = Prompts(prompt.points[None], prompt.labels[None])
    masks = jax.jit(sam.apply)(variables, to_input(image, frame)[None], prompts)
    mask = to_image(np.asarray(masks.logits[0, 0, 0]), frame) > 0
    iou = (mask & truth & valid).sum() / ((mask | truth) & valid).sum()
    assert iou > 0.8
    assert abs(float(masks.iou[0, 0, 0]) - iou) < 0.15
