"""Navigation only: the views are the files of ``dashboard/views``, found by listing."""

import ast
from pathlib import Path
from typing import Any

import streamlit as st

# the page's icon is drawn here, because a named one would be fetched from the internet
BOLT = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E"
    "%3Cpath fill='%230072B2' d='M13 2 4 14h6l-1 8 9-12h-6z'/%3E%3C/svg%3E"
)
VIEWS = Path(__file__).parent / "views"


def facts(path: Path) -> dict[str, Any]:
    """What a view says about itself, read without running it: ``TITLE``, ``ICON``, ``ORDER`` and its docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("TITLE", "ICON", "ORDER")
    }
    return {**constants, "help": (ast.get_docstring(tree) or "").split("\n")[0]}


def views() -> list[tuple[Path, dict[str, Any]]]:
    """Every view with its facts, in the order they ask for."""
    found = [(path, facts(path)) for path in VIEWS.glob("*.py") if not path.name.startswith("_")]
    return sorted(found, key=lambda pair: pair[1]["ORDER"])


def main() -> None:
    """Draw the navigation and run the page that is open."""
    st.set_page_config(page_title="tokenjoule", page_icon=BOLT, layout="wide", initial_sidebar_state=230)
    pages = [
        st.Page(path, title=told["TITLE"], icon=told["ICON"], help=told["help"], default=index == 0)
        for index, (path, told) in enumerate(views())
    ]
    st.navigation(pages).run()


main()
