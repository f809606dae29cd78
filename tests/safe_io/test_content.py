import json
import os
import pathlib

import pytest

from synergynet_tf.data.datasets.folder import read_classes
from synergynet_tf.safe_io import read_content, require_file, require_plain_name


def test_a_file_is_read_up_to_a_size(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").symlink_to("a")
    assert require_file(tmp_path / "a") == 3
    assert read_content(tmp_path / "b", max_bytes=3) == b"123"
    with pytest.raises(ValueError, match="more than 2 bytes"):
        read_content(tmp_path / "a", max_bytes=2)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "gone").symlink_to("nowhere")
    for name in ("pipe", "device", "gone", "."):
        with pytest.raises(OSError, match=name if name != "." else "is a folder"):
            read_content(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    [
        *("a\nb.png", "\x1b[31m.png", os.fsdecode(b"\xff.png")),
        *("a\x85b.png", "a\u2028b.png", "gnp.\u202eb.png"),
    ],
)
def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(ValueError, match="rename it") as info:
        require_plain_name(pathlib.Path("images", name))
    assert str(info.value).isprintable()


@pytest.mark.parametrize(
    "name",
    ["Läsion 1", "at 3.15.20\u202fPM", "皮膚\u3000写真", "क्\u200dष", "a\xa0b"],
)
def test_spaces_and_joiners_of_any_script_are_text(name, tmp_path):
    require_plain_name(pathlib.Path("images", name))
    (tmp_path / "classes.json").write_text(json.dumps({name: 1}))
    assert read_classes(tmp_path / "classes.json") == {name: 1}
