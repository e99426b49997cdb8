"""mkdocs hooks: pages from outside docs/, notebooks as pages, and links that work in both places.

The same Markdown is read in a checkout, where `../README.md` is right, and on the site, where that
file is a page of its own. Files are copied into the site as they are; only their links change.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "data-folder.md",
    "LICENSE": "license.md",
    **{
        f"notebooks/{path.name}": f"notebooks/{path.stem}.md"
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    },
}
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside docs/."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text()
        if source.endswith(".ipynb"):
            text = notebook_page(json.loads(text))
        elif source == "LICENSE":
            text = f"# Licence\n\n```text\n{text}\n```\n"
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Point links at pages of the site, wherever their target lies in the checkout."""
    uri = page.file.src_uri
    sources = {target: source for source, target in OUTSIDE.items()}
    here = sources.get(uri, f"docs/{uri}")
    parts = FENCED.split(markdown)
    for index in range(0, len(parts), 2):
        parts[index] = LINK.sub(lambda m: site_link(m[1], here, uri) + (m[2] or ""), parts[index])
    return "".join(parts)


def site_link(link: str, source: str, page: str) -> str:
    """A link as the site has it.

    Args:
        link: target, relative to `source`; addresses of other sites stay as they are.
        source: path of the Markdown in the checkout.
        page: path of the page on the site.

    """
    if re.match(r"[a-z]+:", link):
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if target in OUTSIDE:
        target = OUTSIDE[target]
    elif target.startswith("docs/"):
        target = target.removeprefix("docs/")
    else:
        return link  # the strict build refuses it
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def notebook_page(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown: text, code, and what the code printed or drew."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts.extend(filter(None, map(shown, cell["outputs"])))
    return "\n\n".join(parts) + "\n"


def shown(output: dict[str, Any]) -> str:
    """One output of a cell: its picture, its own HTML, or its text."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"![Output](data:image/png;base64,{''.join(data['image/png']).strip()})"
    if "text/html" in data:
        return f"<div style='overflow-x:auto'>{''.join(data['text/html'])}</div>"
    text = "".join(output.get("text") or data.get("text/plain", "")).rstrip()
    return f"```text\n{text}\n```" if text else ""
