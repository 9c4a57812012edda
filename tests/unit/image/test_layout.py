# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts: of what a builder wrote, of what a registry has, and of several platforms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import image_layout
from ansible_collections.banking.platform.tests.unit.image.written import LAYER, digest, written


def blob(layout: Path, name: str) -> Any:
    return json.loads((layout / "blobs/sha256" / name.removeprefix("sha256:")).read_bytes())


def test_two_builders_make_the_same_image(tmp_path: Path) -> None:
    one = image_layout.write(written(tmp_path / "a"), tmp_path / "one")
    other = image_layout.write(written(tmp_path / "b", host="77aa", builder="2.0.0"), tmp_path / "other")
    assert one == other
    assert image_layout.read(tmp_path / "one") == one
    config = blob(tmp_path / "one", one.config)
    assert config["config"] == {
        "Hostname": "",
        "User": "1000",
        "Healthcheck": {"Test": ["CMD", "/a"]},
        "Labels": {"a": "b"},
    }
    assert "container" not in config
    assert image_layout.write(written(tmp_path / "c", layer=b"changed"), tmp_path / "third").digest != one.digest


def test_what_comes_from_a_registry_stays_as_it_is(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    image = image_layout.write(folder, tmp_path / "layout", built=False)
    assert image.digest == digest((folder / "manifest.json").read_bytes())


def test_an_index_of_two_platforms(tmp_path: Path) -> None:
    parts = {}
    for platform, layer in (("linux/amd64", b"a"), ("linux/arm/v7", b"b")):
        name = platform.replace("/", "-")
        image_layout.write(written(tmp_path / f"of-{name}", layer=layer), tmp_path / name)
        parts[platform] = tmp_path / name
    whole = image_layout.join(parts, tmp_path / "index")
    assert image_layout.read(tmp_path / "index") == whole
    listed = blob(tmp_path / "index", whole.digest)["manifests"]
    assert [entry["platform"] for entry in listed] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]
    for entry in listed:
        assert blob(tmp_path / "index", entry["digest"])["layers"]
        assert (tmp_path / "index/blobs/sha256" / entry["digest"].removeprefix("sha256:")).stat().st_size == entry[
            "size"
        ]


@pytest.mark.parametrize("damage", ["layer", "config", "index", "all"])
def test_a_damaged_layout_counts_as_none(tmp_path: Path, damage: str) -> None:
    layout = tmp_path / "layout"
    image = image_layout.write(written(tmp_path / "a"), layout)
    wrong = {"layer": digest(LAYER), "config": image.config}.get(damage)
    if wrong:
        (layout / "blobs/sha256" / wrong.removeprefix("sha256:")).write_bytes(b"damaged")
    elif damage == "index":
        (layout / "index.json").write_text("{")
    assert image_layout.read(layout if damage != "all" else tmp_path / "none") is None


@pytest.mark.parametrize("manifest", ["[]", "{", '{"manifests": []}'])
def test_what_is_no_image_is_an_error(tmp_path: Path, manifest: str) -> None:
    folder = written(tmp_path / "a")
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(Failure, match="the builder wrote no image"):
        image_layout.write(folder, tmp_path / "layout")
