import pytest

from synergynet_tf.safe_io import parse_json, read_json, shown


def test_json_is_read_as_python_reads_it():
    text = '{"a": [1, -2.5, true, null, "\\u00e9"], "b": {"c": 9223372036854775807}}'
    read = {"a": [1, -2.5, True, None, "é"], "b": {"c": 2**63 - 1}}
    assert parse_json(text) == read


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("1e999", "beyond float64"),
        ("9223372036854775808", "beyond 64 bits"),
        ("9" * 5000, "beyond 64 bits"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("[" * 33 + "]" * 33, "over 32 levels"),
        ("[" * 10**5, "over 32 levels"),
        ('{"a":' * 50 + "1" + "}" * 50, "over 32 levels"),
        ('["\\ud800"]', "is no text"),
        ('{"\\ud800": 1}', "is no text"),
    ],
)
def test_what_is_no_json_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_levels_that_are_allowed():
    assert parse_json("[" * 32 + "]" * 32)


def test_a_file_is_refused_for_its_bytes(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="utf-8"):
        read_json(tmp_path / "a.json")


def test_a_long_value_is_shortened():
    assert shown([1]) == "[1]"
    assert len(shown("x" * 10**6)) == 204


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}
    path.write_bytes('{"a": 1}'.encode("utf-16"))
    with pytest.raises(ValueError, match="byte 0 is not utf-8 text; save the file"):
        read_json(path)
