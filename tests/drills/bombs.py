"""Drill of files that are small on the disk and want to be large in memory.

Each is read in a child of its own, which counts how far its memory grew, and cannot get much more
than is allowed. All are below the upload limit of the dashboard.
"""

from __future__ import annotations

import gzip
import io
import json
import resource
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drills.core import Outcome, Say, Tell, in_child
from drills.training import load_early
from tradinghf.episodes import Episode
from tradinghf.errors import TradingHFError
from tradinghf.feedback.store import Store
from tradinghf.learning.policy import Policy
from tradinghf.learning.reward import RewardModel
from tradinghf.serving import Uploads

LIMIT = 512 * 2**20  # bytes that reading one file may add
ROOM = 4 * LIMIT  # of addresses, which libraries reserve and do not use
UPLOAD = 20 * 2**20
MIB = 2**20
HEAD = b"timestamp,open,high,low,close,volume\n"
BARS = ("open", "high", "low", "close", "volume")

Read = Callable[[Path, Path], object]
Case = tuple[str, Callable[[], bytes], Read]


def bombs(work: Path, size: int, say: Say) -> Outcome:
    """Read the first `size` of the files; every one is refused or read within the limit."""
    load_early()
    failures: list[str] = []
    figures: dict[str, str] = {}
    cases = files()[:size]
    for number, (name, make, read) in enumerate(cases):
        data = make()
        folder = work / str(number)
        folder.mkdir()
        path = folder / name.split(": ")[1]
        path.write_bytes(data)
        if len(data) > UPLOAD:
            failures.append(f"{name} has {len(data):,} bytes: no upload")
        code, lines = in_child(partial(_measure, path, folder, read))
        grown = int(lines[-1].split()[0]) if lines and code == 0 else -1
        if code or grown > LIMIT:
            failures.append(f"{name}: code {code}, {lines}")
        figures[name] = f"{len(data) / MIB:.1f} MiB, memory + {grown / MIB:.0f} MiB"
        say(f"{name}: {figures[name]} {lines[-1:]}")
    return Outcome(len(cases), tuple(failures), figures)


def _measure(path: Path, folder: Path, read: Read, tell: Tell) -> None:
    """Tell by how many bytes the memory grew at most, and what came of it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, addresses = _status("VmRSS"), _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (addresses + ROOM, addresses + ROOM))
    try:
        read(path, folder)
        said = "read"
    except TradingHFError as error:
        said = f"refused: {error}"[:150].replace("\n", " ")
    tell(f"{_status('VmHWM') - before} {said}")


def _status(name: str) -> int:
    """A figure of this process [bytes]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def files() -> tuple[Case, ...]:
    """(kind: file name, what makes it, reader) of every bomb."""
    commas = b"," * (19 * MIB)
    return (
        ("wide row: a.csv", lambda: HEAD + commas, _upload),
        ("empty rows: a.csv", lambda: HEAD + b"\n" * (19 * MIB), _upload),
        ("tiny rows: a.csv", lambda: HEAD + b"1,1,1,1,1,1\n" * 1_600_000, _upload),
        ("quotes: a.csv", lambda: HEAD + b'"' + b'""' * (9 * MIB), _upload),
        ("plain bars: a.csv", lambda: _bars(300_000), _upload),
        ("zeros: a.csv.gz", lambda: gzip.compress(bytes(1024 * MIB), 1), _upload),
        ("commas: a.csv.gz", lambda: gzip.compress(commas), _upload),
        ("zeros: a.zip", lambda: _zipped({"a.csv": bytes(1024 * MIB)}), _upload),
        ("equal rows: a.parquet", lambda: _equal_rows(30), _upload),
        ("most numbers: a.parquet", lambda: _random_rows(), _upload),
        ("cells: a.xlsx", lambda: _sheet(1_000_000), _upload),
        ("shared strings: a.xlsx", lambda: _sheet(1, bytes(1024 * MIB)), _upload),
        (
            "equal answers: a.parquet",
            lambda: _equal_rows(30, ("key", "query", "rater", "panel")),
            _import,
        ),
        ("wide row: f.csv", lambda: b"key,query\n" + commas, _import),
        ("nested: a.jsonl", lambda: b"[" * (19 * MIB), _import),
        ("numbers: a.jsonl", lambda: b"[" + b"0," * (9 * MIB) + b"0]", _import),
        ("spaces: policy.safetensors", lambda: _header(b"{" + b" " * (19 * MIB)), _policy),
        ("length: policy.safetensors", lambda: struct.pack("<Q", 2**60) + b"{}", _policy),
        ("shape: policy.safetensors", lambda: _header(_SHAPE) + bytes(4), _policy),
        ("spaces: episode.safetensors", lambda: _header(b"{" + b" " * (19 * MIB)), _episode),
        ("numbers: model.json", lambda: b"[" + b"0," * (9 * MIB) + b"0]", _reward),
        ("nested: model.json", lambda: b"[" * (19 * MIB), _reward),
    )


_SHAPE = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}).encode()


def _upload(path: Path, folder: Path) -> object:
    return Uploads(folder / "uploads").add(path.name, path.read_bytes())


def _import(path: Path, folder: Path) -> object:
    with Store(folder / "store") as store:
        return store.import_from(path)


def _policy(path: Path, _folder: Path) -> object:
    return Policy.load(path)


def _episode(path: Path, _folder: Path) -> object:
    return Episode.load(path)


def _reward(path: Path, _folder: Path) -> object:
    return RewardModel.load(path)


def _header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _bars(count: int) -> bytes:
    rows = (f"{1_600_000_000 + 60 * i},10,11,9,10.5,{i}\n" for i in range(count))
    return ("timestamp,open,high,low,close,volume\n" + "".join(rows)).encode()


def _zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def _sheet(rows: int, strings: bytes = b"") -> bytes:
    """A workbook of few bytes with many cells, or with long texts."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml."
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/"
    link = f'<Relationships xmlns="{package}relationships"><Relationship Id="r1" Type="{office}/'
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    texts = {
        "[Content_Types].xml": f'<Types xmlns="{package}content-types"><Override '
        f'PartName="/xl/workbook.xml" ContentType="{kind}sheet.main+xml"/><Override '
        f'PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}worksheet+xml"/><Override '
        f'PartName="/xl/sharedStrings.xml" ContentType="{kind}sharedStrings+xml"/></Types>',
        "_rels/.rels": f'{link}officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/_rels/workbook.xml.rels": f'{link}worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{main}"><sheets><sheet name="s" sheetId="1" '
        f'r:id="r1" xmlns:r="{office}"/></sheets></workbook>',
    }
    members = {name: text.encode() for name, text in texts.items()}
    cells = b'<row><c t="n"><v>1</v></c></row>' * rows
    sheet = (
        f'<worksheet xmlns="{main}">'.encode()
        + b"<sheetData>"
        + cells
        + b"</sheetData></worksheet>"
    )
    members["xl/worksheets/sheet1.xml"] = sheet
    if strings:
        members["xl/sharedStrings.xml"] = strings
    return _zipped(members)


def _equal_rows(millions: int, names: tuple[str, ...] = (*BARS, "timestamp")) -> bytes:
    """Parquet of equal rows: some kilobytes for gigabytes."""
    out = io.BytesIO()
    table = pa.table({name: np.ones(10**6) for name in names})
    with pq.ParquetWriter(out, table.schema, compression="zstd") as writer:
        for _ in range(millions):
            writer.write_table(table, row_group_size=10**6)
    return out.getvalue()


def _random_rows() -> bytes:
    """As many numbers as are taken, each another."""
    rng = np.random.default_rng(0)
    count = 380_000
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, count))).astype(np.float32)
    times = np.datetime64("2000-01-01", "ns") + np.arange(count) * np.timedelta64(60, "s")
    columns = {name: close for name in ("open", "high", "low", "close")}
    out = io.BytesIO()
    pq.write_table(pa.table({"timestamp": times, **columns}), out, compression="zstd")
    return out.getvalue()
