"""Untrusted input: files of unknown origin, read within bounds or refused.

What a file says of its own size is checked before anything is allocated, nothing in it
is run, and nothing that it names outside itself is opened. A function here raises
`OSError` for what cannot be read and `ValueError` for what is wrong with the content,
without the path: the caller knows what the file is for.
"""

from synergynet_tf.safe_io.content import (
    composed,
    is_of_the_file,
    is_plain,
    read_content,
    require_file,
    require_plain_name,
)
from synergynet_tf.safe_io.hdf5 import read_datasets, require_plain_hdf5
from synergynet_tf.safe_io.json_text import (
    decode_text,
    parse_json,
    read_json,
    require,
    shown,
)
from synergynet_tf.safe_io.mat import read_mat5
from synergynet_tf.safe_io.npz import list_npz, read_npz

__all__ = [
    "composed",
    "decode_text",
    "is_of_the_file",
    "is_plain",
    "list_npz",
    "parse_json",
    "read_content",
    "read_datasets",
    "read_json",
    "read_mat5",
    "read_npz",
    "require",
    "require_file",
    "require_plain_hdf5",
    "require_plain_name",
    "shown",
]
