"""Sources of episodes that people made, by how their names begin."""

from __future__ import annotations

OWN_SOURCE = "own:"
"""Of episodes that a person traded, and of raters who prefer them."""
EDITED_SOURCE = "edited:"
"""Of episodes that a rater changed, knowing what came after."""
