"""The folder of a configuration: one on the disk, or a repository of the hub, which is downloaded once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from lesa_framework.errors import ConfigError, in_one_line, shortened
from lesa_framework.extras import HUB, check_installed

#: The files of such a folder; the names are those that `lesa train` writes.
CONFIG: Final = "config.yaml"
WEIGHTS: Final = "weights.safetensors"
CARD: Final = "README.md"

#: A name's part, as the hub allows it: within it dots and dashes, but no two of a sort in a row.
_PART: Final = r"\w(?:[\w.-]{0,94}\w)?"
#: `owner/name`, or `owner/name@revision`.
_REPO: Final = re.compile(
    rf"(?![^@]*(?:--|\.\.))(?![^@]*\.git(?:@|$))(?P<repo>{_PART}/{_PART})(@(?P<revision>[\w./-]{{1,200}}))?", re.ASCII
)
#: What ends like this was meant as a file.
_FILES: Final = (".yaml", ".yml", ".safetensors", ".json")


def is_repo(name: str) -> bool:
    """Whether something that is no file may be a repository's name: `owner/name` or `owner/name@revision`."""
    return _REPO.fullmatch(name) is not None and not is_file_name(name)


def is_file_name(name: str) -> bool:
    """Whether a file was meant, by the end of its name."""
    return name.lower().endswith(_FILES)


def folder_of(name: str) -> Path:
    """The folder of a repository, downloaded where it is not in the hub's cache yet.

    Only the configuration, the weights and the card are downloaded, and nothing of them is run.

    Args:
        name: `owner/name`, or `owner/name@revision`.

    Raises:
        ConfigError: There is no such repository or revision, it cannot be reached, or it holds no configuration; or
            huggingface_hub is not installed.
    """
    found = _REPO.fullmatch(name)
    if found is None:
        raise ConfigError(f"'{shortened(name)}' is no repository. Repositories are named owner/name.")
    repo = found["repo"]
    folder = Path(_download(repo, found["revision"]))
    if not (folder / CONFIG).is_file():
        raise ConfigError(
            f"'{repo}': the repository has no {CONFIG}, so it holds no cache. Name one that `lesa push` has made."
        )
    return folder


def hub_bars(*, disable: bool | None) -> type[Any]:
    """The class of the hub's progress bars, for its `tqdm_class`.

    Args:
        disable: True for no bars; None for bars where standard error is a terminal.
    """
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Bars(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            # The hub says nothing to some of its bars, and those are drawn into pipes and files, too.
            super().__init__(*args, **{**options, "disable": options.get("disable") or disable})  # type: ignore[no-untyped-call]

    return Bars


def _download(repo: str, revision: str | None) -> str:
    check_installed(f"'{repo}'", HUB)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        GatedRepoError,
        HfHubHTTPError,
        HTTPError,  # of httpx or httpx2, by the hub's version
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return snapshot_download(
            repo, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD], tqdm_class=hub_bars(disable=None)
        )
    except GatedRepoError as error:
        reason = "its owner lets in only who asked for access. Ask on its page, and log in with `hf auth login`"
        raise ConfigError(f"'{repo}': {reason}.") from error
    except RevisionNotFoundError as error:
        raise ConfigError(f"'{repo}': the repository has no revision '{revision}'. Leave it out for main.") from error
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"'{repo}' is neither a file, a folder, a preset nor a repository of the hub. Look at its name again; a "
            "private one needs `hf auth login`."
        ) from error
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"'{repo}' is neither a file, a folder nor a preset, and as a repository it is not on this machine, and "
            "the hub cannot be reached. Connect, unset HF_HUB_OFFLINE if it is set, or name a folder."
        ) from error
    except (HfHubHTTPError, HTTPError, OSError) as error:
        raise ConfigError(
            f"'{repo}': cannot be downloaded ({shortened(in_one_line(error))}). Try again, or name a folder."
        ) from error
