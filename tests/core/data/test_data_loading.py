"""Files that are wrong are named with the row that is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from rankloom.data.checks import ROW, RowChecks
from rankloom.data.files import guess_separator, kind_of
from rankloom.data.loading import read_delimited, read_table
from rankloom.errors import DataError


def write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_csv_tsv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    csv = write(tmp_path, "a.csv", '\ufeffu,t\n1,"a, b"\n2,c\n')
    tsv = write(tmp_path, "a.tsv", "u\tt\n1\ta, b\n2\tc\n")
    parquet = tmp_path / "a.parquet"
    pl.DataFrame({"u": ["1", "2"], "t": ["a, b", "c"]}).write_parquet(parquet)
    frames = [read_table(path, RowChecks())[0] for path in (csv, tsv, parquet)]
    assert frames[0].equals(frames[1])
    assert frames[0].drop(ROW).equals(frames[2].drop(ROW))
    assert frames[0][ROW].to_list() == [2, 3]


def test_packed_files_and_json_lines(tmp_path: Path) -> None:
    plain = "u,t\n1,café\n2,\n"
    packed = write(tmp_path, "a.csv.gz", gzip.compress(plain.encode("cp1252")))
    lines = '{"u": "1", "t": "café"}\n{"u": "2", "t": null}\n'
    frames = [
        read_table(packed, RowChecks(), encoding="cp1252")[0],
        read_table(write(tmp_path, "a.jsonl", lines), RowChecks())[0],
        read_table(write(tmp_path, "b.ndjson.gz", gzip.compress(lines.encode())), RowChecks())[0],
    ]
    for frame in frames:
        assert frame.drop(ROW).to_dict(as_series=False) == {"u": ["1", "2"], "t": ["café", None]}
    assert [frame[ROW][0] for frame in frames] == [2, 1, 1]


@pytest.mark.parametrize(
    ("name", "header", "separator"),
    [
        ("a.csv", "u;t", ";"),
        ("a.csv", "u\tt", "\t"),
        ("a.csv", 'u,"a;b;c"', ","),
        ("a.csv", '"a,b";t', ";"),
        ("a.tsv", "u,t", ","),
        ("a.tsv", "u\tt,v", "\t"),
        ("a.csv", "u", ","),
    ],
)
def test_the_header_shows_the_separator(
    tmp_path: Path, name: str, header: str, separator: str
) -> None:
    path = write(tmp_path, name, f"{header}\n")
    assert guess_separator(path, kind_of(path)) == separator


def test_first_rows_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "u;t\n1;x\n2;\n3;z\n")
    assert read_table(path, RowChecks(), n_rows=2)[0]["u"].to_list() == ["1", "2"]


def test_windows_line_ends_and_other_encodings(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "u,t\r\n1,café\r\n".encode("latin-1"))
    frame, _ = read_table(path, RowChecks(), encoding="iso-8859-1")
    assert frame["t"].to_list() == ["café"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "u,t\n", "has a header but no rows"),
        ("a.csv", b"u,t\n1,x\n2,caf\xe9\n", r"row 3: the byte 0xE9 is not valid utf-8"),
        ("a.csv", "u,t\n1,x\n2,y,z\n", r"row 3, .* has not the header's 2 fields"),
        ("a.csv", "u,t\n1,x\n2\n", r"row 3, .* has not the header's 2 fields"),
        ("a.parquet", "no parquet", "cannot be read as Parquet"),
        ("a.xlsx", "x", "ending '.xlsx' is unknown"),
        ("a.csv.gz", "u,t\n1,x\n", "cannot be unpacked"),
        ("a.csv.gz", gzip.compress(b"u,t\n1,x\n" * 99, mtime=0)[:-12], "cannot be unpacked"),
        ("a.jsonl", "{no json\n", "cannot be read as JSON"),
        ("a.jsonl", "", "is empty"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, data: str | bytes, message: str) -> None:
    path = write(tmp_path, name, data)
    with pytest.raises(DataError, match=message) as error:
        read_table(path, RowChecks())
    assert name in str(error.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "none.csv", RowChecks())
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path, RowChecks())


def test_rows_of_the_wrong_width_are_counted_under_skip(tmp_path: Path) -> None:
    path, checks = write(tmp_path, "a.csv", "u,t\n1,x\n2\n3,y,z\n\n4,\n"), RowChecks("skip")
    frame, _ = read_table(path, checks)
    assert frame["u"].to_list() == ["1", "4"]
    assert frame["t"].to_list() == ["x", None]
    assert frame[ROW].to_list() == [2, 6]
    assert list(checks.report.values()) == [2]


def test_delimited_text_with_a_long_separator(tmp_path: Path) -> None:
    # 0x85 is a letter of other code pages and no line end
    path = write(tmp_path, "a.dat", b"1::caf\xe9 \x85::x|y\n2::::\n")
    frame, _ = read_delimited(path, ("id", "t", "g"), "::", RowChecks(), encoding="iso-8859-1")
    assert frame["t"].to_list() == ["café \x85", None]
    assert frame["g"].to_list() == ["x|y", None]
    short = write(tmp_path, "b.dat", "1::a::b\n2::c\n")
    with pytest.raises(DataError, match=r"b.dat, row 2, .*'2::c' has not 3 fields"):
        read_delimited(short, ("id", "t", "g"), "::", RowChecks())
    with pytest.raises(DataError, match="is empty"):
        read_delimited(write(tmp_path, "c.dat", "\n"), ("id",), "::", RowChecks())
