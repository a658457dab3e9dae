"""The four networks of table 5: their configs and their exports."""

import json
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import ablation as recipe
from configs import quickstart, vgg16_voc
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.evaluation import ablation
from cosseg_jax.evaluation.ablation import VARIANTS
from cosseg_jax.evaluation.paper import ABLATION


def export(folder: Path, config: ConfigDict) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "categories": ["cat"]}))


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    for name in VARIANTS:
        export(tmp_path / name, recipe.get_config(f"{name},quickstart"))
    return tmp_path


@pytest.mark.parametrize(
    ("choice", "spatial", "semantic"),
    [
        ("full", True, True),
        ("no_spatial", False, True),
        ("no_semantic", True, False),
        ("neither", False, False),
    ],
)
def test_a_variant_is_the_recipe_with_its_modulators_set(
    choice: str, spatial: bool, semantic: bool
):
    config = recipe.get_config(choice)
    assert (config.model.use_spatial, config.model.use_semantic) == (spatial, semantic)
    config.model.use_spatial = config.model.use_semantic = True
    assert config.to_dict() == vgg16_voc.get_config().to_dict()


def test_another_recipe_is_named_after_a_comma():
    config = recipe.get_config("neither,quickstart")
    assert (config.dataset, config.model.use_spatial) == ("shapes", False)
    assert config.steps == quickstart.get_config().steps


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("no_head", "'no_head'; choose one of: full, no_spatial, no_semantic, neither"),
        ("full,resnet", "'resnet'; choose one of: vgg16_voc, resnet50_voc, "),
    ],
)
def test_an_unknown_choice_lists_the_valid_ones(choice: str, message: str):
    with pytest.raises(UserError, match=message):
        recipe.get_config(choice)


def test_the_paper_has_a_row_for_each_variant():
    assert list(ABLATION) == list(VARIANTS)


def test_exports_are_found_by_variant(exports: Path):
    assert ablation.find_exports(exports) == {name: exports / name for name in VARIANTS}


def test_missing_exports_are_named_with_the_commands_that_make_them(exports: Path):
    (exports / "full" / "config.json").unlink()
    (exports / "neither" / "config.json").unlink()
    with pytest.raises(MissingFileError) as caught:
        ablation.find_exports(exports)
    message = str(caught.value)
    assert "lacks the exported full, neither;" in message
    for name in ("full", "neither"):
        assert f"train.py --config configs/ablation.py:{name}" in message
        assert f"--export {exports / name}" in message
    assert "ablation.py:no_spatial" not in message


def test_an_export_in_the_folder_of_another_variant_is_refused(tmp_path: Path):
    for name in VARIANTS:
        export(tmp_path / name, recipe.get_config("full,quickstart"))
    with pytest.raises(UserError, match=r"no_spatial holds .*which is 'full', not 'no_spatial'"):
        ablation.find_exports(tmp_path)


def test_networks_that_differ_only_in_their_modulators_have_no_other_differences(exports: Path):
    assert ablation.differing_fields(ablation.find_exports(exports)) == []


def test_other_differences_are_listed(exports: Path):
    path = exports / "neither" / "config.json"
    config = json.loads(path.read_text())
    config["steps"], config["optimizer"]["learning_rate"] = 7, 0.5
    config["data_dir"] = "elsewhere"
    path.write_text(json.dumps(config))
    assert ablation.differing_fields(ablation.find_exports(exports)) == [
        "neither was trained with optimizer.learning_rate = 0.5, full with 0.003",
        "neither was trained with steps = 7, full with 1600",
    ]
