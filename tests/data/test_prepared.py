"""Preparing once: reuse, change, interruption, two at once; prepared data sets as downloads."""

import json
import pickle
import threading
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from toys import write_pack

from cosseg_jax import files
from cosseg_jax.data import prepared
from cosseg_jax.data.builders import build
from cosseg_jax.data.builders.cosegmentation import Cosegmentation
from cosseg_jax.data.builders.voc import VocSegmentation
from cosseg_jax.data.registry import load_source
from cosseg_jax.errors import UserError

MASK = np.eye(6, dtype=bool)


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "raw", {"cow/a": MASK, "cow/b": ~MASK})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COSSEG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def own_folder(pack, tmp_path):
    """A data set that a user prepared with TFDS into a folder of their own."""
    builder = Cosegmentation(
        data_dir=tmp_path / "mine", config="pascal", file_format="array_record"
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=pack, try_download_gcs=False)
    )
    return tmp_path / "mine"


def forbidden(*arguments):
    raise AssertionError("prepared a second time")


def test_prepared_once_then_reused(pack, cache, monkeypatch):
    load_source("pascal", "test", pack)
    monkeypatch.setattr(build, "_run_builder", forbidden)
    assert len(load_source("pascal", "test", pack)) == 2


def test_a_changed_file_is_prepared_anew(pack, cache):
    load_source("pascal", "test", pack)
    Image.new("RGB", (6, 6), "white").save(pack / "image/cow/a.jpg")
    assert load_source("pascal", "test", pack)[0].image.min() == 255


def test_an_added_image_is_seen(pack, cache):
    load_source("pascal", "test", pack)
    write_pack(pack, {"dog/c": MASK})
    assert load_source("pascal", "test", pack).categories == ("cow", "dog")


def test_the_raw_folder_is_not_written_to(pack, cache):
    before = sorted((str(path), path.stat().st_mtime_ns) for path in pack.rglob("*"))
    load_source("pascal", "test", pack)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in pack.rglob("*")) == before


def test_an_interrupted_preparation_counts_for_nothing(pack, cache, monkeypatch):
    finish = build._run_builder

    def interrupted(builder, root):
        finish(builder, root)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "_run_builder", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_source("pascal", "test", pack)
    assert not list(cache.iterdir())
    assert len(load_source("pascal", "test", pack)) == 2


def test_what_a_killed_preparation_left_is_removed_by_the_next(pack, cache, monkeypatch):
    abandoned = cache / "cosegmentation.building-0123456789abcdef"
    (abandoned / "built").mkdir(parents=True)
    (abandoned / "built/half").write_bytes(b"half")
    load_source("pascal", "test", pack)
    (finished,) = cache.iterdir()
    assert finished.name.startswith("cosegmentation-")
    assert not list(finished.rglob("half"))


def test_what_a_killed_preparation_of_the_same_files_left_does_not_count(pack, cache):
    load_source("pascal", "test", pack)
    (finished,) = cache.iterdir()
    work = cache / finished.name.replace("-", ".building-", 1)
    finished.rename(work)
    next(work.rglob("*.array_record*")).write_bytes(b"half")
    assert load_source("pascal", "test", pack)[1].masks.shape == (1, 6, 6)
    assert [path.name for path in cache.iterdir()] == [finished.name]


def test_a_running_preparation_is_left_alone(pack, cache):
    other = cache / "cosegmentation.building-other"
    with build.folder_lock(other):
        load_source("pascal", "test", pack)
        assert other.is_dir()


def test_a_second_preparation_waits_for_the_first_and_takes_its_result(pack, cache, monkeypatch):
    run, started, go_on, sources = build._run_builder, [], threading.Event(), []

    def slow(builder, root):
        started.append(root)
        go_on.wait(60)
        run(builder, root)

    monkeypatch.setattr(build, "_run_builder", slow)
    threads = [
        threading.Thread(target=lambda: sources.append(load_source("pascal", "test", pack)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    while not started:
        time.sleep(0.01)
    time.sleep(0.3)  # for the second to reach the lock
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(started) == 1
    np.testing.assert_array_equal(sources[0][0].masks, sources[1][0].masks)
    assert len(list(cache.iterdir())) == 1


def test_bad_data_leaves_no_cache(pack, cache):
    (pack / "image/cow/b.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="does not decode"):
        load_source("pascal", "test", pack)
    assert not list(cache.iterdir())


def test_prepared_data_set_in_data_dir(own_folder, cache):
    assert list(load_source("pascal", "test", own_folder).names) == ["cow/a", "cow/b"]
    assert not cache.exists()


def test_data_dir_may_be_the_prepared_data_sets_own_folder(own_folder, cache):
    folder = own_folder / "cosegmentation/pascal" / str(Cosegmentation.VERSION)
    assert len(load_source("pascal", "test", folder)) == 2


def test_prepared_data_set_of_another_kind_is_not_taken(own_folder):
    folder = own_folder / "cosegmentation/pascal" / str(Cosegmentation.VERSION)
    version = VocSegmentation.VERSION
    assert prepared.find_prepared(folder, f"voc_segmentation/{version}") is None
    assert prepared.find_prepared(folder, f"cosegmentation/msrc/{version}") is None


def test_prepared_data_set_without_its_list(own_folder):
    next(own_folder.rglob("1.0.0/metadata.json")).unlink()
    with pytest.raises(ValueError, match="has no list of its records"):
        load_source("pascal", "test", own_folder)


@pytest.mark.parametrize(
    "name", ["dataset_info.json", "metadata.json", "features.json", "*record*"]
)
@pytest.mark.parametrize("content", [b"", b'{"half', b"[1]"])
def test_damaged_prepared_data_set(own_folder, name, content):
    """Cut files, as an interrupted copy or a Git LFS pointer leaves them."""
    if (name, content) == ("metadata.json", b""):
        content = b"{"
    next(own_folder.rglob(f"1.0.0/{name}")).write_bytes(content)
    with pytest.raises(UserError, match=r"1\.0\.0 (is damaged|has no list of its records)"):
        load_source("pascal", "test", own_folder)[0]


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
def test_no_module_of_a_strangers_choice_is_imported(own_folder, tmp_path, monkeypatch, key):
    """TFDS imports the module of every class that features.json names."""
    (tmp_path / "hostile.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = next(own_folder.rglob("1.0.0/features.json"))
    whole = json.loads(file.read_text())
    whole["featuresDict"]["features"]["name"] = {key: "hostile.Text", "text": {}}
    file.write_text(json.dumps(whole))
    with pytest.raises(UserError, match=r"features.json names the class 'hostile.Text'"):
        load_source("pascal", "test", own_folder)


def test_a_flipped_bit_in_the_records(own_folder):
    file = next(own_folder.rglob("*record*"))
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged \(.*; delete it and prepare it again"):
        load_source("pascal", "test", own_folder)[0]


def test_a_list_that_does_not_fit_its_records(own_folder):
    file = next(own_folder.rglob("1.0.0/metadata.json"))
    file.write_text(file.read_text().replace("cow/b", "cow/c"))
    with pytest.raises(ValueError, match=r"record 1 is 'cow/b' where the list .* has 'cow/c'"):
        load_source("pascal", "test", own_folder)[1]


def test_a_source_can_be_pickled(pack, cache):
    source = load_source("pascal", "test", pack)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[1].masks, source[1].masks)


def test_the_cache_is_in_the_home_by_default(monkeypatch):
    monkeypatch.delenv("COSSEG_CACHE_DIR")
    assert files.cache_dir().parts[-2:] == (".cache", "cosseg_jax")
