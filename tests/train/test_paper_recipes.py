"""The paper's recipe with VGG16, unchanged but for steps and size, on real images of COCO 2017."""

import json

import jax
import numpy as np
import pytest

import train
from configs import vgg16
from cosseg_jax.data.builders.coco import builder
from cosseg_jax.train.logging import METRICS_FILE

STEPS = 3


@pytest.fixture(scope="module")
def coco(data_dir, tmp_path_factory):
    """The pieces of COCO in the data directory, prepared as `coco_seg`."""
    pytest.importorskip("pycocotools")
    if not (data_dir / "coco/annotations/instances_train2017.json").is_file():
        pytest.skip("needs coco/ in COSSEG_DATA_DIR")
    prepared = tmp_path_factory.mktemp("prepared")
    builder.prepare_coco_seg(data_dir / "coco", prepared, processes=1, min_images=3)
    return prepared


@pytest.mark.slow
def test_the_recipe_of_the_paper_trains_on_real_images(coco, tmp_path):
    config = vgg16.get_config()
    config.data_dir, config.steps, config.image_size, config.log_every = str(coco), STEPS, 64, 1
    outcome = train.train_and_evaluate(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    steps = [line for line in lines if line["split"] == "train"]
    assert [line["step"] for line in steps] == [1, 2, 3]
    assert all(np.isfinite([line["loss"], line["loss_spatial"]]).all() for line in steps)
    assert len({line["loss"] for line in steps}) == STEPS
    (validated,) = [line for line in lines if line["split"] == "val"]
    assert 0 <= validated["J"] <= 100
    assert outcome.best is not None
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(outcome.best))
