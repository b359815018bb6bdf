"""Runs the demo and draws what it printed: python docs/images/capture.py, from the repository's root."""

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

IMAGE = Path(__file__).with_name("demo.svg")
STYLES = {"✔": "green", "✘": "yellow", "$": "bold"}


def main() -> int:
    demo = subprocess.run([sys.executable, "-m", "examples.orders.demo"], capture_output=True, text=True, check=True)
    console = Console(record=True, width=112, file=io.StringIO())
    for line in ["$ make demo", *demo.stdout.splitlines()]:
        console.print(Text(line, style=STYLES.get(line[:1], "")))
    svg = console.export_svg(title="make demo")
    IMAGE.write_text(re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
