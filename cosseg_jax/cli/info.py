"""`cosseg info`: versions, devices, the network in use, and the cache."""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cosseg_jax.cli import options as shared

PACKAGES = ("cosseg-jax", "jax", "flax")


def _run_info(options: argparse.Namespace) -> None:
    """Prints the facts; raises UserError for a folder that is not an exported network."""
    from cosseg_jax.files import cache_dir

    facts = {
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "devices": _devices(),
        "network": _network(options.checkpoint),
        "cache": {"folder": str(cache_dir()), "bytes": _bytes_of(cache_dir())},
    }
    print(json.dumps(facts, indent=2) if options.json else _text(facts))


def _devices() -> list[str]:
    import jax

    return [f"{device.platform}: {device.device_kind}" for device in jax.devices()]


def _network(checkpoint: Path | None) -> dict[str, Any] | None:
    """Facts about an exported network; None for the shipped one if this installation has none."""
    from cosseg_jax.predict import exported

    folder = exported.SHIPPED_FOLDER if checkpoint is None else checkpoint
    if checkpoint is None and not folder.is_dir():
        return None
    config = exported.load_config(folder)
    leaves = exported.stored_leaves(folder)
    parameters = [leaf for name, leaf in leaves.items() if name.startswith("params/")]
    return {
        "folder": str(folder),
        "backbone": config.model.backbone,
        "features": config.model.features,
        "image_size": exported.prediction_options(config).image_size,
        "categories": list(config.categories),
        "parameters": sum(leaf.size for leaf in parameters),
        "stored_as": sorted({str(leaf.dtype) for leaf in parameters}),
        "bytes": _bytes_of(folder),
    }


def _bytes_of(folder: Path) -> int:
    """Bytes of a file, or of the files in a folder; 0 if there is none."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _text(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    lines = [f"versions   {versions}", f"devices    {', '.join(facts['devices'])}"]
    network = facts["network"]
    if network is None:
        lines.append("network    none comes with this installation; give --checkpoint DIR")
    else:
        lines += [
            f"network    {network['folder']} ({_megabytes(network['bytes'])})",
            f"           {network['backbone']}, {network['features']} features, "
            f"photos at {network['image_size']} x {network['image_size']}",
            f"           {network['parameters']:,} parameters, stored as "
            f"{' and '.join(network['stored_as'])}",
            f"           {len(network['categories'])} categories: "
            f"{', '.join(network['categories'])}",
        ]
    cache = facts["cache"]
    lines.append(f"cache      {cache['folder']} ({_megabytes(cache['bytes'])})")
    return "\n".join(lines)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _add_info_options(parser: argparse.ArgumentParser) -> None:
    shared.add_checkpoint_option(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


INFO = shared.Command(
    name="info",
    summary="print versions, devices and the network in use",
    description="Prints versions, devices, what the network is, and how much the cache holds.",
    examples="""\
examples:
  cosseg info
  cosseg info --checkpoint DIR --json
""",
    add_options=_add_info_options,
    run=_run_info,
)
