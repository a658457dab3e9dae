"""HEIC photographs, as phones take them: read where the library pillow-heif is installed."""

import importlib.util
from pathlib import Path

SUFFIXES = (".heic", ".heif")
LIBRARY = "pillow_heif"


def register() -> bool:
    """Teaches Pillow to open HEIC files; False if the library is not there."""
    if importlib.util.find_spec(LIBRARY) is None:
        return False
    importlib.import_module(LIBRARY).register_heif_opener()
    return True


def advice(path: Path) -> str:
    """What to install, for a photograph that takes the library; else nothing."""
    if path.suffix.casefold() not in SUFFIXES or importlib.util.find_spec(LIBRARY) is not None:
        return ""
    return "to read HEIC photographs, pip install pillow-heif"
