"""Tables that people open in spreadsheets: hostile texts stay texts, everything else stays as it is."""

import csv
from pathlib import Path

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heritage.configs.csv_file import write_csv

texts = st.text("=+-@\t\r\n a1\"',;.é", max_size=6)


def ended(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(texts, st.floats(allow_nan=False), st.integers(-9, 9)), min_size=1, max_size=5), texts)
def test_no_cell_is_a_formula_and_no_text_is_lost(
    tmp_path: Path, rows: list[tuple[str, float, int]], name: str
) -> None:
    frame = pd.DataFrame(rows, columns=[f"{name}x", "f", "i"])

    write_csv(frame, tmp_path / "t.csv")

    with (tmp_path / "t.csv").open(newline="") as file:
        head, *found = list(csv.reader(file))
    assert head[0] in (ended(f"{name}x"), f"'{ended(name)}x")
    for cells, (text, number, whole) in zip(found, rows, strict=True):
        assert cells[0] in (ended(text), f"'{ended(text)}")
        assert (float(cells[1]), int(cells[2])) == (number, whole)
        assert not cells[0].startswith(("=", "@", "\t", "\n"))
        if cells[0].startswith(("+", "-")):
            float(cells[0])


def test_the_frame_itself_stays(tmp_path: Path) -> None:
    frame = pd.DataFrame({"model": ['=HYPERLINK("http://x")', "-0.5", None, "plain"]})
    write_csv(frame, tmp_path / "t.csv")
    assert frame["model"][0].startswith("=")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[1].startswith("\"'=HYPERLINK")
    assert lines[2:] == ["-0.5", '""', "plain"]
