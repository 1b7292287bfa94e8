"""The rules of the house that a machine can hold: layers, sizes, light imports, what ships, what never may."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "relation_adapter"
SOURCES = sorted((ROOT / "src" / PACKAGE).rglob("*.py"))
CODE = [*SOURCES, *sorted((ROOT / "tests").glob("*.py")), *sorted((ROOT / "examples").glob("*.py"))]

# docs/design.md draws this table.
LAYERS = (
    {
        "errors",
        "stores",
        "files",
        "header",
        "loading",
        "hub",
        "images",
        "units",
        "alignment",
        "correction",
        "remainder",
        "relation_file",
        "stillness",
        "tones",
        "cartoons",
        "exact",
        "detail",
        "overlap",
        "importing",
        "contact_sheet",
        "editor",
        "config",
    },
    {"model", "vlm", "procedural"},
    {"relation", "pipeline", "data"},
    {"train", "evaluate", "baselines", "scale"},
    {"cli", "web", "__init__", "__main__"},
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
# Within one layer rooms do not know each other, but for these.
NEIGHBOURS = {("pipeline", "relation"), ("cli", "__init__"), ("__main__", "cli"), ("cli", "web")}
APART = {("data", "model")} | {("evaluate", room) for room in ("model", "relation", "pipeline")}


# Layers


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "src" / PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of every import, lazy ones and names in strings too; relative ones resolved."""
    package = [PACKAGE, *path.relative_to(ROOT / "src" / PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == PACKAGE else [module]
            yield from ((name, node.lineno) for name in names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == PACKAGE:
            yield f"{PACKAGE}.{node.attr}", node.lineno
        elif isinstance(node, ast.Constant) and re.fullmatch(rf"{PACKAGE}(\.\w+)+", str(node.value)):
            yield str(node.value), node.lineno


def wrong_imports(path: Path) -> Iterator[str]:
    room = room_of(path)
    for name, line in imports(path):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top != PACKAGE or target == room or rest in ("", "__version__"):
            continue
        target = target if target in LAYER else "__init__"  # a public name of the package itself
        same = LAYER[target] == LAYER[room]
        allowed = LAYER[target] < LAYER[room] or (same and (LAYER[room] == 0 or (room, target) in NEIGHBOURS))
        if not allowed or (room, target) in APART:
            yield f"{path.relative_to(ROOT)}:{line}: {room} must not import {target}"


def test_imports_point_only_downwards() -> None:
    strangers = {room_of(path) for path in SOURCES} - LAYER.keys()
    assert not strangers, f"rooms without a layer: {strangers}; give them one in LAYERS and in docs/design.md"
    assert not [wrong for path in SOURCES for wrong in wrong_imports(path)]


def test_the_layer_test_sees_every_form_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "src" / PACKAGE / "data" / "rows.py"
    path.parent.mkdir(parents=True)
    forms = (
        f"import {PACKAGE}.model.flow",
        f"from {PACKAGE} import model",
        f"from {PACKAGE}.pipeline import x",
        "from ..train import loop",
        f"def later():\n    from {PACKAGE}.cli import main",
        f"name = '{PACKAGE}.cli.app'",
        f"import {PACKAGE}\nclass_ = {PACKAGE}.RelationPipeline",
        f"from {PACKAGE} import Relation",
    )
    for form in forms:
        path.write_text(form)
        assert len(list(wrong_imports(path))) == 1, form
    path.write_text(f"import torch\nfrom {PACKAGE} import errors, images\nfrom .schema import Quad\n")
    assert not list(wrong_imports(path))


def test_procedural_needs_numpy_and_pillow_alone() -> None:
    allowed = sys.stdlib_module_names | {"numpy", "PIL", PACKAGE}
    for path in SOURCES:
        if room_of(path) == "procedural":
            assert {name.partition(".")[0] for name, _ in imports(path)} <= allowed, path


def test_the_package_and_its_lowest_layer_load_no_torch() -> None:
    modules = [PACKAGE, *(f"{PACKAGE}.{room}" for room in sorted(LAYERS[0])), f"{PACKAGE}.evaluate.generate"]
    modules += [f"{PACKAGE}.baselines", f"{PACKAGE}.baselines.image_analogies"]
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "diffusers", "transformers"} & set(json.loads(done.stdout))


def test_what_a_module_loads_is_a_dependency_or_of_its_extra() -> None:
    """Whoever installs the package without extras has all that its commands load."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    given = sys.stdlib_module_names | {PACKAGE, "PIL"} | {re.split(r"[\[>=]", need)[0] for need in needs}
    extras = {"web": {"gradio", "starlette"}, "scale": {"ray", "pyarrow"}}
    for path in SOURCES:
        loaded: set[str] = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                loaded |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                loaded.add(node.module)
        assert {name.partition(".")[0] for name in loaded} <= given | extras.get(room_of(path), set()), path


# Sizes


def lengths(paths: list[Path]) -> dict[str, int]:
    """Lines of every function by `file:line name`, decorators left out."""
    return {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_no_file_is_over_350_lines() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in CODE}
    assert not {name: size for name, size in sizes.items() if size > 350}


def test_no_function_is_over_80_lines() -> None:
    assert not {name: size for name, size in lengths(CODE).items() if size > 80}


def test_half_of_the_functions_are_within_10_lines_and_nine_of_ten_within_40() -> None:
    sizes = sorted(lengths(SOURCES).values())
    assert sizes[len(sizes) // 2] <= 10
    assert sizes[len(sizes) * 9 // 10] <= 40


# What ships, and what never may


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_tracked_text_names_a_machine() -> None:
    # In pieces, so that this file does not name them either.
    folders = "|".join(("wor" + "k", "roo" + "t", "hom" + "e", "User" + "s", "mn" + "t", "op" + "t"))
    pattern = re.compile(
        rf"(?<![\w.:/}}])/({folders})/|--(extra-)?index" + "-url|--trusted" + "-host|--find" + "-links"
    )
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:4096]:
            for number, line in enumerate(data.decode().splitlines(), start=1):
                if pattern.search(line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found


def test_no_number_is_left_open() -> None:
    marks = ("TODO" + "-NUMBER", "SCO" + "RE ")
    texts = [path for path in tracked() if path.suffix in {".md", ".py", ".sh", ".toml"}]
    assert not [path.name for path in texts if any(mark in path.read_text() for mark in marks)]


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    links = {
        f"{page.relative_to(ROOT)}: {link}": page.parent / link.partition("#")[0]
        for page in pages
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if not re.match(r"https?:|mailto:|#", link)
    }
    assert links
    assert not [name for name, target in links.items() if not target.exists()]


def test_every_example_picture_has_a_licence_and_all_are_small() -> None:
    pictures = [path for path in (ROOT / "examples").rglob("*") if path.suffix in {".png", ".jpg"}]
    told = (ROOT / "examples" / "LICENSES.md").read_text()
    assert pictures
    assert not [path.name for path in pictures if f"`{path.relative_to(ROOT / 'examples').as_posix()}`" not in told]
    assert sum(path.stat().st_size for path in pictures) <= 3_000_000


SHIPPED = (
    "weights/mini.safetensors",
    "py.typed",
    "cli/app.py",
    "vlm/prompts/annotate.txt",
    "web/page.css",
    "web/example_files/sepia-after.jpg",
)


def test_the_wheel_holds_the_weights_the_prompts_and_its_types(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{PACKAGE}/{name}" for name in SHIPPED} <= names
    assert wheel.stat().st_size < 25_000_000
