"""The tables of ``docs/config.md``, generated from the table of keys between two markers.

``python -m agenthost.config.reference docs/config.md`` writes them; a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agenthost.config.schema import sections

BEGIN = "<!-- generated from agenthost/config/keys.py; python -m agenthost.config.reference docs/config.md -->"
END = "<!-- end of the generated part -->"


def reference() -> str:
    """Markdown: one table for each section."""
    parts = []
    for section in sections():
        rows = [
            f"### {section.name}",
            "",
            section.title,
            "",
            "| key | value | default | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for key in section.keys:
            default = "**required**" if key.required else key.default
            if key.name in section.one_of:
                default = f"exactly one of {', '.join(section.one_of)}"
            cells = (f"`{key.name}`", key.kind.words, default, key.doc)
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def with_reference(page: str) -> str:
    """``page`` with what stands between the markers made new."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(with_reference(target.read_text(encoding="utf-8")), encoding="utf-8")
