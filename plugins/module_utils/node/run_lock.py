# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a run: a file on one node that says who is changing the platform."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping, Optional

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

PATH = "/var/lib/banking-platform/run.lock"


def holder(path: str = PATH) -> Optional[Dict[str, Any]]:
    """Who holds the lock; None when nobody does.

    Raises:
        Failure: when the file is not one of ours.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        return {"run": str(found["run"]), **found}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path} is damaged: {error!r}", "see that no run is going on, then remove the file") from error


def take(wish: Mapping[str, Any], instead_of: str = "", path: str = PATH) -> Optional[Dict[str, Any]]:
    """Take the lock.

    Args:
        wish: the holder to be; `run` tells it from all others.
        instead_of: the run from which the lock is taken; of any other it is not.
        path: of the lock.

    Returns:
        The other holder, when there is one; None when the lock is ours now.
    """
    with _alone(path):
        other = holder(path)
        if other and other["run"] not in (wish["run"], instead_of):
            return other
        if not other or other["run"] != wish["run"]:
            descriptor, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".run.lock.")
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(dict(wish), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
    return None


def give_back(run: str, path: str = PATH) -> bool:
    """Give the lock back, if the run holds it. Returns whether it did."""
    if not os.path.exists(path):
        return False
    with _alone(path):
        found = holder(path)
        if not found or found["run"] != run:
            return False
        os.unlink(path)
    return True


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Keep other processes of this node from looking at the lock and then changing it at the same time."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(f"{path}.guard", "w", encoding="utf-8") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
