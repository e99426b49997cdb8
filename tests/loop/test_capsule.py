"""Capsules: a run that gives itself again, and files that pretend to be one."""

from __future__ import annotations

import json
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tradinghf.cli import main
from tradinghf.errors import CheckpointError
from tradinghf.feedback import SyntheticTrader
from tradinghf.feedback.store import Store
from tradinghf.loop import _rerun, pack_run, verify_capsule
from tradinghf.loop._capsule import MANIFEST, checked_command, unpack
from tradinghf.market import save_market, synthetic

TRAIN = "train --reward pnl --task short --base none --no-safe --steps 1024 --envs 16"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run on a file of bars, and its capsule mine.thf."""
    place = tmp_path_factory.mktemp("capsule")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        save_market(synthetic(seed=3, bars=1200, assets=1), "bars.csv")
        assert main(["--quiet", *TRAIN.split(), "--data", "bars.csv", "--out", "runs/z"]) == 0
        assert main(["--quiet", "pack", "runs/z", "--out", "mine.thf", "--bars"]) == 0
    return place


def changed(capsule: Path, out: Path, *, without: str = "", **files: bytes | None) -> Path:
    """A copy with other bytes under some names, or without one, whose manifest fits them."""
    import hashlib

    with zipfile.ZipFile(capsule) as old:
        held = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(held.pop(MANIFEST))
    for name, data in files.items():
        held[name] = data or b""
        manifest["files"][name] = [hashlib.sha256(data or b"").hexdigest(), len(data or b"")]
    if without:
        del held[without], manifest["files"][without]
    with zipfile.ZipFile(out, "w") as new:
        new.writestr(MANIFEST, json.dumps(manifest))
        for name, data in held.items():
            new.writestr(name, data)
    return out


@pytest.mark.slow
def test_a_capsule_gives_the_same_bytes_again_and_says_where_it_does_not(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(run / "mine.thf")]) == 0
    assert "equal byte by byte" in capsys.readouterr().out
    rows = (run / "runs/z/metrics.jsonl").read_text().splitlines()
    row = json.loads(rows[0])
    rows[0] = json.dumps(row | {"entropy": row["entropy"] + 1e-9})
    result = json.loads((run / "runs/z/result.json").read_text())
    result["mean_return"] += 1e-12
    files = {
        "run/metrics.jsonl": "\n".join(rows).encode(),
        "run/result.json": json.dumps(result).encode(),
    }
    found = verify_capsule(changed(run / "mine.thf", tmp_path / "other.thf", **files))
    assert not found.same
    assert found.first.startswith(f"step {row['step']:,.0f}, entropy: {row['entropy']!r} here")
    assert [text.split(":")[0] for text in found.differences] == ["result.json, mean_return"]


def test_the_same_run_packs_to_the_same_bytes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    manifest = pack_run(Path("runs/z"), tmp_path / "again.thf", bars=True)
    assert (tmp_path / "again.thf").read_bytes() == (run / "mine.thf").read_bytes()
    assert set(manifest["files"]) >= {"bars/bars.csv", "run/policy.safetensors", "report.html"}
    alone = pack_run(Path("runs/z"), tmp_path / "alone.thf")
    assert "bars/bars.csv" not in alone["files"]
    with pytest.raises(CheckpointError, match="hash of its bars alone"):
        verify_capsule(tmp_path / "alone.thf")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("../evil.csv", b"x", "must not"),
        ("run/../../evil.csv", b"x", "must not"),
        ("/run/evil.csv", b"x", "must not"),
        ("code/evil.py", b"x", "must not"),
    ],
)
def test_names_that_lead_outside_are_refused(
    run: Path, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    bad = changed(run / "mine.thf", tmp_path / "bad.thf", **{name: data})
    with pytest.raises(CheckpointError, match=said):
        unpack(bad, tmp_path / "inside")
    assert not (tmp_path / "evil.csv").exists()


def test_bombs_and_damage_are_refused(run: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(run / "mine.thf") as old:
        held = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(held[MANIFEST])

    def written(manifest: object, **files: bytes) -> Path:
        with zipfile.ZipFile(tmp_path / "bad.thf", "w", zipfile.ZIP_DEFLATED) as new:
            new.writestr(MANIFEST, manifest if isinstance(manifest, str) else json.dumps(manifest))
            for name, data in (held | files).items():
                if name != MANIFEST:
                    new.writestr(name, data)
        return tmp_path / "bad.thf"

    bomb = {"run/policy.safetensors": bytes(50_000_000)}
    huge = json.loads(json.dumps(manifest))
    huge["files"]["run/config.json"][1] = 2**40
    foreign = manifest | {"command": ["train", "--base", "evil.py:rule"]}
    for said, made in (
        ("not of the size", lambda: written(manifest, **bomb)),
        ("other files", lambda: written(manifest, **{"store/more": b"{}"})),
        ("must not", lambda: written(manifest, **{"run/more.json": b"{}"})),
        ("no readable manifest", lambda: written("[" * 100_000)),
    ):
        with pytest.raises(CheckpointError, match=said):
            unpack(made(), tmp_path / said.replace(" ", ""))
    with pytest.raises(CheckpointError, match="at most"):
        unpack(written(huge), tmp_path / "huge")
    with pytest.raises(CheckpointError, match="holds no code"):
        unpack(written(foreign), tmp_path / "foreign")
    flipped = dict(held)
    flipped["run/result.json"] = held["run/result.json"].replace(b"0", b"1", 1)
    with pytest.raises(CheckpointError, match="other sha256"):
        unpack(written(manifest, **flipped), tmp_path / "flipped")
    (tmp_path / "bad.thf").write_bytes(b"no zip")
    with pytest.raises(CheckpointError, match="no capsule"):
        unpack(tmp_path / "bad.thf", tmp_path / "nozip")


@pytest.fixture
def rerun(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training again that gives what it gave, at once."""
    page = zipfile.ZipFile(run / "mine.thf").read("report.html")

    def train(_words: list[str], *, cwd: Path, **_more: object) -> SimpleNamespace:
        shutil.copytree(run / "runs/z", cwd / "run")
        return SimpleNamespace(returncode=0)

    def draw(_run: Path, path: Path) -> Path:
        path.write_bytes(page)
        return path

    monkeypatch.setattr(_rerun.subprocess, "run", train)
    monkeypatch.setattr(_rerun, "policy_page", draw)


NEEDED = ("config.json", "result.json", "metrics.jsonl", "policy.safetensors")


@pytest.mark.parametrize("name", [*(f"run/{name}" for name in NEEDED), "report.html"])
def test_what_lacks_a_part_proves_nothing(
    run: Path, tmp_path: Path, rerun: None, name: str
) -> None:
    assert verify_capsule(run / "mine.thf").same
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        verify_capsule(changed(run / "mine.thf", tmp_path / "part.thf", without=name))


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    [
        ("config.json", ("experiment", "costs", "fee_bps"), 50.0, "config.json, costs.fee_bps"),
        ("config.json", ("experiment", "seed"), 7, "contradicts itself"),
        ("config.json", ("command",), "tradinghf train --reward pnl", "contradicts itself"),
        ("config.json", ("data_sha256", "test"), "ab", "contradicts itself"),
        ("metrics.jsonl", ("entropy",), 9.0, "entropy"),
        ("metrics.jsonl", ("sharpe",), 9.0, "sharpe"),
        ("policy.json", ("sharpe",), 9.0, "policy.json, sharpe"),
    ],
)
def test_what_a_capsule_says_beside_the_truth_is_seen(
    run: Path, tmp_path: Path, rerun: None, name: str, place: tuple[str, ...], value: Any, said: str
) -> None:
    text = (run / "runs/z" / name).read_text()
    held = inner = json.loads(text.splitlines()[0] if name.endswith("l") else text)
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    files = {f"run/{name}": json.dumps(held).encode()}
    bad = changed(run / "mine.thf", tmp_path / "bad.thf", **files)
    if said == "contradicts itself":
        with pytest.raises(CheckpointError, match=said):
            verify_capsule(bad)
        return
    found = verify_capsule(bad)
    assert not found.same
    assert said in " ".join([found.first, *found.differences])


@pytest.mark.parametrize("bad", [b"[]", b"7", b"null", b"{}", b"[", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "result.json"])
def test_malformed_parts_get_a_sentence(
    run: Path, tmp_path: Path, rerun: None, name: str, bad: bytes
) -> None:
    made = changed(run / "mine.thf", tmp_path / "bad.thf", **{f"run/{name}": bad})
    with suppress(CheckpointError):
        assert not verify_capsule(made).same


@pytest.mark.parametrize(
    "more",
    [
        "--out /tmp/evil",
        "--data /etc/passwd",
        "--out x --out --json=/tmp/evil",
        "--store",
        "--data bars.csv:funding=/etc/passwd",
        "--data bars.csv:funding=../x",
        "--data bars.csv:zone=store/../../../x",
        "--data bars.csv:currency=JPY,rates=store/../../../dev/zero",
        "--data sp500:rates=fx.csv,currency=JPY",
        "--data futures:/dev/zero",
        "--data futures:a.csv,b.csv",
        "--seed 1\0",
    ],
)
def test_a_command_with_a_second_place_is_refused(more: str) -> None:
    first = [] if ":" in more else ["--out", "runs/z", "--data", "bars.csv"]
    with pytest.raises(CheckpointError):
        checked_command(["train", *first, *more.split(" ")])


@pytest.mark.parametrize(
    "command",
    [
        "dashboard --store x",
        "train --base mine.py",
        "rlhf --trader /etc/taste",
        "train --base ../x",
    ],
)
def test_commands_of_strangers_are_refused(command: str) -> None:
    with pytest.raises(CheckpointError):
        checked_command(command.split())
    checked_command(["train", "--data", "a/b.csv", "--out", "runs/z", "--store", "here/s"])


@pytest.mark.slow
def test_a_run_of_rlhf_gives_itself_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = "rlhf --trader drawdown --data synthetic:bars=600,assets=2 --rankings 4 --rounds 2"
    more = "--steps 2048 --envs 16 --test-episodes 64 --no-safe --no-baselines --out runs/r"
    assert main(["--quiet", *line.split(), *more.split()]) == 0
    assert main(["--quiet", "pack", "runs/r", "--out", "r.thf"]) == 0
    capsys.readouterr()
    assert main(["verify", "r.thf"]) == 0
    assert "equal byte by byte" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_learned_from_a_store_brings_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_market(synthetic(seed=3, bars=1500, assets=1), "bars.csv")
    collect = "episodes collect --data bars.csv --windows 8 --horizon 32 --store store"
    assert main(["--quiet", *collect.split()]) == 0
    with Store("store") as store:
        trader = SyntheticTrader("drawdown")
        for query in store.queries():
            shown = [store.episode(name) for name in query.episodes]
            store.submit(trader.rank(shown, query.id))
    line = "train --store store --data bars.csv --task short --base none --no-safe"
    more = "--steps 2048 --envs 16 --out runs/s"
    assert main(["--quiet", *line.split(), *more.split()]) == 0
    assert main(["--quiet", "pack", "runs/s", "--out", "s.thf", "--bars"]) == 0
    with zipfile.ZipFile("s.thf") as capsule:
        assert any(name.startswith("store/") for name in capsule.namelist())
    capsys.readouterr()
    assert main(["verify", "s.thf"]) == 0
    assert "equal byte by byte" in capsys.readouterr().out
