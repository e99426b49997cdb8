"""Build hook: put the pinned chart library (fetch_assets.py) and the bill of materials
(dependencies.py) into the wheel.

Without npm or a network the wheel is built all the same; the dashboard's page Rank then says in
one sentence what is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FetchAssets(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own config type
    """Fetch before a wheel is built; not for editable installs, which `make setup` serves."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before building."""
        if version != "standard":
            return
        sys.path.insert(0, str(Path(self.root) / "scripts"))
        import dependencies
        import fetch_assets

        bill = Path(self.root) / "build" / "sbom.cdx.json"
        bill.parent.mkdir(exist_ok=True)
        dependencies.main(["--sbom", str(bill)])
        build_data["force_include"][str(bill)] = "tradinghf/_bundled/sbom.cdx.json"

        try:
            fetch_assets.fetch(fetch_assets.CHARTS)
        except SystemExit as error:
            self.app.display_warning(f"The wheel will lack the chart library. {error}")
