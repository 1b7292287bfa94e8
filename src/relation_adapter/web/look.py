"""How the page looks: colours, letters and spacing, all from this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "Menlo", "Consolas", "monospace"]


def look() -> dict[str, Any]:
    """Options of `launch`. Letters that the library would fetch from elsewhere are left out."""
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", font=SANS, font_mono=MONO, radius_size="md", spacing_size="sm"
    ).set(
        # Letters stand out from what is behind them by at least 4.5 to 1.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_label_text_color="*neutral_600",
        block_info_text_color="*neutral_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
    )
    head = f"<script>{(HERE / 'page.js').read_text()}</script>"
    return {"theme": theme, "css": (HERE / "page.css").read_text(), "head": head}
