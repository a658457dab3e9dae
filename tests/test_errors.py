"""Which errors are shown to users, and how their messages read."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from cosseg_jax.errors import UserError, is_user_error, message_of
from cosseg_jax.evaluation import metrics
from cosseg_jax.models.pretrained.lpips_files import lpips_file


def error_of(function, *arguments) -> Exception:
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (metrics.protocol_named, ("iou",), True),
        (np.zeros(3).reshape, (2, 2), False),
        (int, ("x",), False),
        (Path("nowhere").read_text, (), True),
        ({}.__getitem__, ("key",), False),
    ],
)
def test_only_messages_written_for_users_and_system_errors_count(
    function, arguments, expected: bool
):
    assert is_user_error(error_of(function, *arguments)) is expected


def test_a_missing_package_is_a_user_error(monkeypatch: pytest.MonkeyPatch):
    def absent(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    assert is_user_error(error_of(lpips_file))
    assert not is_user_error(error_of(importlib.import_module, "no_such_module"))


def test_a_message_is_one_line_without_quotes_around_it():
    assert message_of(UserError("wrong")) == "wrong"
    assert message_of(UserError("a  b.jpg\n  is wrong")) == "a  b.jpg is wrong"
