"""Reading MobileSAM's weights: both kinds of files, strict names, and files that are broken."""

import pickle
import zipfile

import jax
import numpy as np
import pytest
from goldens.weights import write_pth
from narrow_sam import GOLDEN, narrow_sam, narrow_shapes, published_layout

from cosseg_jax.models.sam.weights import (
    from_torch,
    load_sam,
    published_name,
    read_weights,
    to_torch,
)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return published_layout(dict(np.load(GOLDEN)), "layout")


@pytest.fixture(scope="module")
def like():
    return narrow_shapes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, arrays):
    """The same tensors as a state dict of PyTorch and as numpy arrays."""
    folder = tmp_path_factory.mktemp("sam")
    write_pth(folder / "sam.pt", arrays)
    np.savez(folder / "sam.npz", **arrays)
    return folder


@pytest.mark.parametrize("name", ["sam.pt", "sam.npz"])
def test_a_file_gives_the_arrays_in_it(folder, arrays, name):
    found = read_weights(folder / name)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.slow
def test_loaded_variables_are_those_of_the_files_arrays(folder, arrays, like):
    found = load_sam(folder / "sam.pt", narrow_sam())
    jax.tree.map(np.testing.assert_array_equal, found, from_torch(arrays, like))


def test_there_and_back_again(arrays, like):
    back = to_torch(from_torch(arrays, like))
    left_out = {name for name in arrays if "head." in name and "image_encoder" in name}
    counters = {name for name in arrays if name.endswith("num_batches_tracked")}
    assert back.keys() == arrays.keys() - left_out - counters
    for name, array in back.items():
        np.testing.assert_array_equal(array, arrays[name])


def test_half_precision_is_read_as_float32(arrays, like):
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    found = from_torch(halves, like)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            "batch_stats/image_encoder/layers_0/blocks_1/conv2/bn/var",
            "image_encoder.layers.0.blocks.1.conv2.bn.running_var",
        ),
        (
            "params/image_encoder/layers_2/blocks_5/attn/attention_biases",
            "image_encoder.layers.2.blocks.5.attn.attention_biases",
        ),
        (
            "params/prompt_encoder/point_embeddings_3/embedding",
            "prompt_encoder.point_embeddings.3.weight",
        ),
    ],
)
def test_names(ours, theirs):
    assert published_name(ours) == theirs


def test_both_lists_of_unmatched_names_are_in_the_error(arrays, like):
    changed = dict(arrays)
    changed["mask_decoder.iou_tokens.weight"] = changed.pop("mask_decoder.iou_token.weight")
    with pytest.raises(ValueError, match="file does not fit MobileSAM") as raised:
        from_torch(changed, like)
    assert "+ only in the file: mask_decoder.iou_tokens.weight" in str(raised.value)
    assert "- only in the model: params/mask_decoder/iou_token/embedding" in str(raised.value)


def test_wrong_shapes_are_in_the_error(arrays, like):
    changed = arrays | {"image_encoder.neck.0.weight": np.zeros((256, 448, 1, 1), np.float32)}
    with pytest.raises(ValueError, match=r"neck_0/kernel: \(1, 1, 448, 256\) in the file"):
        from_torch(changed, like)


@pytest.mark.parametrize("name", ["sam.pt", "sam.npz"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_files_are_refused(folder, tmp_path, name, share):
    content = (folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"{name} cannot be read as"):
        read_weights(path)


class Calls:
    """A pickle that writes a file when it is opened carelessly."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickles_that_call_anything_are_refused(tmp_path):
    harm, path = tmp_path / "harm", tmp_path / "sam.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Calls(harm)}, protocol=2))
    with pytest.raises(ValueError, match="open, which does not belong into a file of weights"):
        read_weights(path)
    assert not harm.exists()


def test_pickled_arrays_are_refused(tmp_path):
    harm, path = tmp_path / "harm", tmp_path / "sam.npz"
    np.savez(path, a=np.asarray([Calls(harm)], object))
    with pytest.raises(ValueError, match=r"sam\.npz cannot be read as a \.npz file"):
        read_weights(path)
    assert not harm.exists()


def test_other_suffixes_and_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"sam\.onnx is no file of SAM's weights; give a \.pt"):
        read_weights(tmp_path / "sam.onnx")
    with pytest.raises(FileNotFoundError, match=r"no file of SAM's weights at .*sam\.pt"):
        read_weights(tmp_path / "sam.pt")
