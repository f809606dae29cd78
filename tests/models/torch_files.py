"""Files as `torch.save` writes them, made without torch."""

import struct
import zipfile


# A pickle of protocol 2, by its instructions.
def text(value):
    return b"X" + struct.pack("<i", len(value)) + value.encode()


def integer(value):
    return b"J" + struct.pack("<i", value)


def group(*items):
    return b"(" + b"".join(items) + b"t"


def name_of(module, name):
    return f"c{module}\n{name}\n".encode()


ORDERED_DICT = name_of("collections", "OrderedDict") + b")R"


def pickled(*items):
    return b"\x80\x02" + b"".join(items) + b"."


def tensor(key, array, size=None, offset=0):
    """What rebuilds a transposed view of a storage, as some published tensors are."""
    kind = "FloatStorage" if array.dtype == "float32" else "LongStorage"
    strides = [step // array.itemsize for step in array.strides]
    storage = group(
        text("storage"),
        name_of("torch", kind),
        text(key),
        text("cpu"),
        integer(array.size if size is None else size),
        b"N",
    )
    return (
        name_of("torch._utils", "_rebuild_tensor_v2")
        + group(
            storage + b"Q",
            integer(offset),
            group(*map(integer, array.shape)),
            group(*map(integer, strides)),
            b"\x89",
            ORDERED_DICT,
        )
        + b"R"
    )


def state_dict(tensors):
    items = [text(k) + tensor(str(n), v) for n, (k, v) in enumerate(tensors.items())]
    metadata = b"}" + text("_metadata") + ORDERED_DICT + b"s"
    return pickled(ORDERED_DICT, b"(", *items, b"u", metadata, b"b")


def write_legacy(path, tensors, body=None):
    """What torch wrote until 1.5, and the published file is."""
    magic = b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
    system = b"}" + text("little_endian") + b"\x88s"
    keys = [text(str(number)) for number in range(len(tensors))]
    parts = [
        *(pickled(magic), pickled(integer(1001)), pickled(system)),
        state_dict(tensors) if body is None else body,
        pickled(b"](", *keys, b"e"),
    ]
    for array in tensors.values():
        memory = array.T.tobytes() if array.flags.f_contiguous else array.tobytes()
        parts.append(struct.pack("<q", array.size) + memory)
    path.write_bytes(b"".join(parts))


def write_zip(path, tensors, body=None, compression=zipfile.ZIP_STORED):
    """What torch writes now."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("net/data.pkl", state_dict(tensors) if body is None else body)
        archive.writestr("net/byteorder", "little")
        for number, array in enumerate(tensors.values()):
            memory = array.T.tobytes() if array.flags.f_contiguous else array.tobytes()
            archive.writestr(f"net/data/{number}", memory)
