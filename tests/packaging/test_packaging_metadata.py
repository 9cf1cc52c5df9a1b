"""The project file, the installed package and the wheel agree."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

GROUP = "rankloom.plugins"


@pytest.fixture(scope="session")
def project(repo_root: Path) -> dict[str, Any]:
    return tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=repo_root,
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_installed_entry_points_are_those_of_the_project(project: dict[str, Any]) -> None:
    installed = distribution("rankloom").entry_points
    assert {e.name: e.value for e in installed.select(group=GROUP)} == project["entry-points"][
        GROUP
    ], "pyproject.toml changed after the install: run `pip install -e .` again"
    assert {e.name: e.value for e in installed.select(group="console_scripts")} == project[
        "scripts"
    ]


def test_every_family_is_registered_and_imports(project: dict[str, Any], repo_root: Path) -> None:
    folders = {
        path.parent.name for path in (repo_root / "plugins/rankloom_plugins").glob("*/plugin.py")
    }
    registered = project["entry-points"][GROUP]
    assert {value.split(".")[1] for value in registered.values()} == folders
    for module in registered.values():
        importlib.import_module(module)


def test_wheel_has_exactly_two_top_level_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert tops == {"rankloom", "rankloom_plugins"}


def test_wheel_holds_every_module_types_and_licence(
    wheel: zipfile.ZipFile, repo_root: Path
) -> None:
    names = set(wheel.namelist())
    for root in ("core", "plugins"):
        for path in (repo_root / root).rglob("*.py"):
            assert path.relative_to(repo_root / root).as_posix() in names
    assert {"rankloom/py.typed", "rankloom_plugins/py.typed"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_wheel_version_is_the_package_version(wheel: zipfile.ZipFile) -> None:
    import rankloom

    assert Path(str(wheel.filename)).name.startswith(f"rankloom-{rankloom.__version__}-")
