"""Image files whose headers a careless reader takes for those of smaller images."""

import struct
import zlib


def segment(code, content):
    """Returns a JPEG segment: a marker and its length before the content."""
    return bytes([0xFF, code]) + (2 + len(content)).to_bytes(2, "big") + content


def chunk(kind, content):
    """Returns a PNG chunk: length, kind, content, checksum."""
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


def jpeg_decoy(data, code):
    """Puts a marker without a length before the frame of a color JPEG file.

    What follows the marker is an empty comment, 0xFF 0xFE, the true frame, and a
    comment that ends in a frame of 8 x 8 pixels. Decoders go from one to the next. Who
    takes 0xFFFE for the marker's length lands at the false frame.
    """
    place = data.index(b"\xff\xc0")
    true, rest = data[place : place + 19], data[place + 19 :]
    false = segment(0xC0, bytes.fromhex("08 0008 0008 01 011100"))
    # Before the false frame: the empty comment, the true frame, the comment's head.
    comment = segment(0xFE, bytes(0xFFFE - 4 - len(true) - 4) + false)
    marker = bytes([0xFF, code])
    return data[:place] + marker + segment(0xFE, b"") + true + comment + rest


def png_decoy(data):
    """Puts a chunk before IHDR that has 8 x 8 where IHDR has the size."""
    sides = (8).to_bytes(4, "big") * 2
    return data[:8] + chunk(b"abCd", sides + bytes(5)) + data[8:]


def exif(number, order="<"):
    """Returns a JPEG's segment of EXIF with an orientation, behind another tag."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HIH", 42, 8, 2)
    maker = struct.pack(order + "HHI", 0x010F, 2, 4) + b"abc\0"
    turn = struct.pack(order + "HHIHH", 0x0112, 3, 1, number, 0)
    return segment(0xE1, b"Exif\0\0" + head + maker + turn)
