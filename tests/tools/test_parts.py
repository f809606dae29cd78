import pytest

from tools import parts


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run" / "seed0").mkdir(parents=True)
    # Of random bytes, which no compression shortens.
    noise = bytes(i * i * 7919 % 251 for i in range(5000))
    (tmp_path / "run" / "seed0" / "a.bin").write_bytes(noise)
    (tmp_path / "run" / "b.json").write_text("{}")
    return tmp_path / "run"


def test_what_is_cut_is_joined(folder, tmp_path):
    count = parts.cut(folder, tmp_path / "parts", part_bytes=300)
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert names == [*(f"part-{n:03d}" for n in range(count)), "parts.json"]
    assert count >= 2
    sizes = [(tmp_path / "parts" / name).stat().st_size for name in names[:-1]]
    assert set(sizes[:-1]) == {300} and 0 < sizes[-1] <= 300
    parts.join(tmp_path / "parts", tmp_path / "again")
    for path in ("seed0/a.bin", "b.json"):
        assert (tmp_path / "again" / path).read_bytes() == (folder / path).read_bytes()


def test_damage_and_a_missing_part_are_refused(folder, tmp_path):
    parts.cut(folder, tmp_path / "parts", part_bytes=300)
    first = tmp_path / "parts" / "part-000"
    content = bytearray(first.read_bytes())
    content[100] ^= 1
    first.write_bytes(content)
    with pytest.raises(ValueError, match="part-000 is damaged"):
        parts.join(tmp_path / "parts", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    first.unlink()
    with pytest.raises(FileNotFoundError, match="part-000"):
        parts.join(tmp_path / "parts", tmp_path / "again")
    with pytest.raises(FileExistsError):
        parts.cut(folder, tmp_path / "parts")
    with pytest.raises(FileNotFoundError, match="no folder"):
        parts.cut(tmp_path / "none", tmp_path / "other")
