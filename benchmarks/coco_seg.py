"""Time and memory of preparing coco_seg, on a made-up COCO of a tenth of the real one's size.

    python benchmarks/coco_seg.py --processes 1 2

makes a folder of COCO's layout with as many instances and categories an image, and JPEGs as large,
as train2017 has on average: a few hundred different ones under many names. For each number of
processes it prints the time, the CPU time, the peak memory of the parent and of a worker, and the
time that the whole of train2017 would take at that rate.
"""

import argparse
import io
import json
import multiprocessing
import os
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

from cosseg_jax.data.builders.coco.builder import prepare_coco_seg
from cosseg_jax.data.builders.coco.rule import PAPER_COUNTS, TRAIN2017_IMAGES

HEIGHT, WIDTH = 480, 640
INSTANCES = 7  # of an image; 860,001 in 118,287
CORNERS = 24  # of a polygon; with so many the annotation file is as long as the real one
RADII = {True: (45, 120), False: (8, 25)}  # of instances that count, and of those that do not


def encoded_image(rng: np.random.Generator) -> bytes:
    """A JPEG with detail at several scales, of about 160 kB, which is train2017's average."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for scale, strength in ((80, 45), (16, 35), (4, 30), (2, 40)):
        coarse = rng.random((HEIGHT // scale, WIDTH // scale, 3), np.float32)
        pixels += strength * np.kron(coarse, np.ones((scale, scale, 1), np.float32))
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format="JPEG", quality=92)
    return buffer.getvalue()


def polygon(rng: np.random.Generator, counts: bool) -> tuple[list[float], float]:
    """An ellipse's corners, as x and y in turns, and its area."""
    a, b = rng.uniform(*RADII[counts], 2)
    x, y = rng.uniform(a, WIDTH - a), rng.uniform(b, HEIGHT - b)
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    corners = np.stack([x + a * np.cos(angles), y + b * np.sin(angles)], axis=1)  # [corners, 2]
    return corners.round(2).ravel().tolist(), float(np.pi * a * b)


def write_split(root: Path, split: str, num_images: int, jpegs: list[Path]) -> None:
    """Writes a split in which all categories have the same number of images."""
    rng = np.random.default_rng(num_images)
    folder = root / f"{split}2017"
    folder.mkdir(parents=True)
    counted = np.arange(num_images + 1) * sum(PAPER_COUNTS.values()) // TRAIN2017_IMAGES
    images, annotations = [], []
    for image in range(num_images):
        file = f"{image:012d}.jpg"
        os.link(jpegs[image % len(jpegs)], folder / file)
        images.append({"id": image, "file_name": file, "height": HEIGHT, "width": WIDTH})
        members = range(counted[image], counted[image + 1])
        for number in range(INSTANCES):
            counts = number < len(members)
            category = members[number] if counts else int(rng.integers(len(PAPER_COUNTS)))
            corners, area = polygon(rng, counts)
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": image,
                    "category_id": int(category) % len(PAPER_COUNTS),
                    "area": area,
                    "iscrowd": 0,
                    "segmentation": [corners],
                    "bbox": [0.0, 0.0, 0.0, 0.0],
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(PAPER_COUNTS)]
    lists = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations").mkdir(exist_ok=True)
    (root / f"annotations/instances_{split}2017.json").write_text(json.dumps(lists))


def write_coco(root: Path, num_images: int, distinct: int) -> None:
    """Writes a folder of COCO 2017 with `num_images` for training."""
    rng = np.random.default_rng(0)
    jpegs = []
    (root / "jpegs").mkdir(parents=True)
    for number in range(min(distinct, num_images)):
        jpegs.append(root / "jpegs" / f"{number}.jpg")
        jpegs[-1].write_bytes(encoded_image(rng))
    write_split(root, "train", num_images, jpegs)
    write_split(root, "val", 2, jpegs)
    annotations = root / "annotations/instances_train2017.json"
    print(
        f"{num_images} images of {np.mean([j.stat().st_size for j in jpegs]) / 1e3:.0f} kB, "
        f"annotations of {annotations.stat().st_size / 1e6:.0f} MB"
    )


def peak_memory(process: int | str) -> int:
    """The peak resident memory of a process in bytes; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return 1024 * int(kilobytes[0]) if kilobytes else 0


def measured(root: Path, data_dir: Path, processes: int, results: Connection) -> None:
    """Prepares; sends wall and CPU seconds, and the peak bytes of this process and of a worker."""
    workers: dict[int | None, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for child in multiprocessing.active_children():
                workers[child.pid] = max(workers.get(child.pid, 0), peak_memory(child.pid or 0))

    threading.Thread(target=watch, daemon=True).start()
    start = time.perf_counter()
    prepare_coco_seg(root, data_dir, processes=processes, min_images=1)
    seconds = time.perf_counter() - start
    ended.set()
    busy = sum(os.times()[:4])  # of this process and of those that it has waited for
    results.send((seconds, busy, peak_memory("self"), max(workers.values(), default=0)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the preparation of coco_seg.")
    parser.add_argument(
        "--images", type=int, default=TRAIN2017_IMAGES // 10 + 1, help="images to train on"
    )
    parser.add_argument("--distinct", type=int, default=300, help="number of different images")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder) / "coco"
        write_coco(root, arguments.images, arguments.distinct)
        columns = ("processes", "s", "CPU s", "images/s", "parent MB", "worker MB")
        print(" ".join(f"{column:>9s}" for column in columns))
        for processes in arguments.processes:
            context = multiprocessing.get_context("spawn")
            receiver, sender = context.Pipe(duplex=False)
            data_dir = Path(folder) / f"prepared{processes}"
            context.Process(target=measured, args=(root, data_dir, processes, sender)).start()
            sender.close()
            seconds, busy, parent, worker = receiver.recv()
            rate = arguments.images / seconds
            times = f"{processes:9d} {seconds:9.1f} {busy:9.1f} {rate:9.1f}"
            memory = f"{parent / 1e6:9.0f} {worker / 1e6:9.0f}"
            whole = f"train2017: {TRAIN2017_IMAGES / rate / 60:.0f} minutes"
            print(f"{times} {memory}  {whole}", flush=True)


if __name__ == "__main__":
    main()
