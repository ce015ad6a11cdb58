"""Every benchmark page in turn: ``python -m bench --quick --write docs/benchmarks.md``."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.result import commit, machine


def main() -> None:
    """Run all pages; a page that fails is named with its exit code, and the command fails."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path, help="write the figures as Markdown here")
    arguments = parser.parse_args()
    pages = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if _is_page(path))
    results = [_run(page, arguments.quick) for page in pages]
    if arguments.write:
        arguments.write.write_text(_markdown([result for result in results if result]), encoding="utf-8")
    if not all(results):
        sys.exit(1)


def _is_page(path: Path) -> bool:
    """A page can be run by itself; what only helps pages cannot."""
    return path.stem != "__main__" and '__name__ == "__main__"' in path.read_text(encoding="utf-8")


def _run(page: str, quick: bool) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        flags = ["--quick"] if quick else []
        ended = subprocess.run([sys.executable, "-m", f"bench.{page}", *flags, "--json", str(path)], check=False)
        if ended.returncode != 0:
            print(f"bench.{page} ended with code {ended.returncode}", file=sys.stderr)
            return None
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return result


def _markdown(results: list[dict[str, Any]]) -> str:
    lines = [
        "# Benchmarks",
        "",
        f"`make bench` wrote this page: {machine()}, commit {commit()}. Machines are shared and",
    ]
    lines += ["noisy, so read the ratios, which were measured within one run, before the rates.", ""]
    for result in results:
        lines += [f"## {result['name']}", "", result["note"], "", "| figure | value |", "|---|---|"]
        lines += [f"| {key} | {_cell(value)} |" for key, value in result["figures"].items()]
        lines.append("")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
