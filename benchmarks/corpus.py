"""`python -m benchmarks.corpus [CORPUS]`: how well mail is read, and how fast. `make corpus CORPUS=DIR`.

CORPUS is a folder of mails with an `expected.jsonl`, one row of known facts a mail (`benchmarks.judge` names
them). Mails are read in the same worker processes as the daemon's. Without a folder only what the project
carries itself is measured: new words by language, and replies that only thank.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.judge import INFERRED, KINDS, LABELS, Figures, Tally, compare_words, judge, same_words
from mailbridge.cli.inspect import as_dict
from mailbridge.core.parse import parse_mail
from mailbridge.core.reply import new_words
from mailbridge.core.scan import ParseLimits
from mailbridge.core.thanks import is_thanks_only
from mailbridge.edge.parse_pool import ParseFailure, ParsePool, RawMail

FIXTURES = Path(__file__).parents[1] / "fixtures"
_SHORT_ON_MISSES = ("reply_similar", "reply_kept", "reply_clean")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0, or 2 when the corpus cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.corpus", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument(
        "--strict", action="store_true", help="leave out facts that the corpus's maker inferred"
    )
    parser.add_argument("--source", action="append", help="only this source (may be given more than once)")
    parser.add_argument("--misses", type=int, default=10, metavar="N", help="misses shown of each figure")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there")
    options = parser.parse_args(argv)
    if options.corpus is not None:
        rows = _rows(options.corpus, options.source or [], strict=options.strict)
        if not rows:
            print(f"no mail of {options.corpus / 'expected.jsonl'} is there", file=sys.stderr)
            return 2
        raws = [(options.corpus / row["file"]).read_bytes() for row in rows]
        figures = _judged(rows, asyncio.run(_read(options.corpus, rows, raws)))
        _print_figures(figures, f"{len(rows)} mails of {options.corpus.name}", options.misses)
        _print_speed(options.corpus, rows, raws)
        if options.json:
            _write(options.json, figures)
    _print_languages()
    _print_thanks()
    return 0


def _rows(corpus: Path, sources: Sequence[str], *, strict: bool) -> list[dict[str, Any]]:
    expected = corpus / "expected.jsonl"
    if not expected.is_file():
        return []
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in expected.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    rows = [r for r in rows if (corpus / r["file"]).is_file() and (not sources or r.get("source") in sources)]
    if strict:
        for row in rows:
            for key in [key for key, basis in (row.get("basis") or {}).items() if basis in INFERRED]:
                row.pop(key, None)
    return rows


async def _read(corpus: Path, rows: Sequence[dict[str, Any]], raws: Sequence[bytes]) -> list[dict[str, Any]]:
    """What `inspect --json` prints of each mail; a mail that a worker cannot read has only its error."""
    pool = ParsePool(workers=2, timeout=30, memory=1 << 30, limits=ParseLimits())
    await pool.start()
    try:
        results = await pool.parse([RawMail(raw) for raw in raws])
    finally:
        await pool.close()
    return [
        {"error": f"{found.reason}: {found.detail}"}
        if isinstance(found, ParseFailure)
        else as_dict(corpus / row["file"], found)
        for row, found in zip(rows, results, strict=True)
    ]


def _judged(rows: Sequence[dict[str, Any]], shown: Sequence[dict[str, Any]]) -> Figures:
    figures = Figures()
    for row, given in zip(rows, shown, strict=True):
        judge(row, given, figures)
    return figures


def _print_figures(figures: Figures, title: str, misses: int) -> None:
    print(title)
    for key, label in LABELS:
        tally = figures.tallies[key]
        if tally.n:
            print(f"  {label:32} {tally.rate:7.1%}  of {tally.n}")
    if figures.kinds:
        print(f"  {'mean F1 of kinds':32} {figures.mean_f1:7.1%}")
        print(f"\n  {'expected, given':18}" + "".join(f"{kind[:12]:>14}" for kind in KINDS))
        for kind in KINDS:
            if kind in figures.kinds:
                counts = figures.kinds[kind]
                print(f"  {kind:18}" + "".join(f"{counts[other]:14}" for other in KINDS))
    for key, label in LABELS:
        missed = figures.tallies[key].missed if key not in _SHORT_ON_MISSES else []
        if missed and misses:
            print(f"\n  missed: {label}")
            for file, note in missed[:misses]:
                print(f"    {file}  {note[:160]}")


def _print_speed(corpus: Path, rows: Sequence[dict[str, Any]], raws: Sequence[bytes]) -> None:
    """The time of reading and printing one mail in a process that is warm, as a worker is."""
    for raw in raws[:20]:
        parse_mail(raw)
    taken = []
    for row, raw in zip(rows, raws, strict=True):
        began = time.perf_counter()
        json.dumps(as_dict(corpus / row["file"], parse_mail(raw)), ensure_ascii=False)
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    size = sum(len(raw) for raw in raws) / len(raws) / 1024
    print(
        f"\n  speed of inspect, mails of {size:.1f} KB: median {statistics.median(taken):.2f} ms,"
        f" 95 of 100 within {taken[int(len(taken) * 0.95)]:.2f} ms, slowest {taken[-1]:.0f} ms (goal: median 5 ms)"
    )


def _print_languages() -> None:
    """New words by language, from `fixtures/variants/reply.jsonl`."""
    lines = (FIXTURES / "variants" / "reply.jsonl").read_text(encoding="utf-8").splitlines()
    exact, kept = defaultdict[str, Tally](Tally), defaultdict[str, Tally](Tally)
    for row in map(json.loads, lines):
        reply = new_words(row["text"], row["html"])
        exact[row["language"]].add(same_words(row["reply"], reply), row["program"])
        kept[row["language"]].add(compare_words(row["reply"].split(), reply.split())[1], row["program"])
    print(f"\n  new words by language, {len(lines)} mails of {len(exact)} languages")
    print("  language  mails    exact   words kept")
    for language in sorted(exact, key=lambda name: (-exact[name].n, name)):
        tally = exact[language]
        print(f"  {language:8} {tally.n:6}  {tally.rate:7.1%}      {kept[language].rate:7.1%}")
        for program, _ in tally.missed:
            print(f"           missed: {program}")


def _print_thanks() -> None:
    """Replies that only thank, from `fixtures/thanks`."""
    hits = said = only = total = 0
    for path in sorted((FIXTURES / "thanks").glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            answer = is_thanks_only(row["text"])
            total += 1
            only += row["thanks"]
            said += answer
            hits += answer and row["thanks"]
    print(
        f"\n  thanks-only replies, {total} of which {only} only thank: precision {hits / max(said, 1):.1%},"
        f" recall {hits / max(only, 1):.1%}"
    )


def _write(path: Path, figures: Figures) -> None:
    rates = {key: {"rate": tally.rate, "n": tally.n} for key, tally in figures.tallies.items()}
    rates["kind_f1"] = {"rate": figures.mean_f1, "n": figures.tallies["kind"].n}
    path.write_text(json.dumps(rates, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
