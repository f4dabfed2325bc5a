"""Which version is `@champion`, which was before it, and how to go back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revela import tracking
from revela.errors import RevelaError
from revela.registry.lock import promotion_lock
from revela.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"


def by_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that bears an alias, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as fault:
        # No such model and no such alias answer differently, depending on the store.
        if fault.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def find_version(client: MlflowClient, name: str, version: str, uri: str) -> ModelVersion:
    """The version of a number, or of an alias such as ``@champion``.

    Raises:
        RevelaError: there is none; those that are there are named.
    """
    from mlflow.exceptions import MlflowException

    if version.startswith("@"):
        found = by_alias(client, name, version.removeprefix("@"))
        if found is None:
            raise RevelaError(f"{name} has no {version} in {uri}.")
        return client.get_model_version(name, found.version)  # by alias it comes without its aliases
    try:
        return client.get_model_version(name, version)
    except MlflowException as fault:
        if fault.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        known = sorted(int(one.version) for one in client.search_model_versions(f"name = '{name}'"))
        raise RevelaError(
            f"{name} has no version {version} in {uri}; it has {', '.join(map(str, known)) or 'none'}."
        ) from fault


def crown(client: MlflowClient, name: str, version: str) -> None:
    """Make `version` the champion; the one until now becomes `@previous`. Call with the store locked."""
    champion = by_alias(client, name, CHAMPION)
    if champion is not None and str(champion.version) != str(version):
        client.set_registered_model_alias(name, PREVIOUS, champion.version)
    client.set_registered_model_alias(name, CHAMPION, version)


def promote(settings: RegistrySettings, version: str, reason: str) -> str:
    """Make a version champion by hand.

    Args:
        version: a number, or an alias such as ``@challenger``.

    Returns:
        What was done, in a sentence.

    Raises:
        RevelaError: there is no such version.
    """
    uri = tracking.tracking_uri()
    client = tracking.connect(uri)
    name = settings.model_name
    with promotion_lock(client, name) as held:
        version = str(find_version(client, name, version, uri).version)
        held.confirm()
        crown(client, name, version)
        client.set_model_version_tag(name, version, "promoted", reason)
    return f"{name} version {version} is champion: {reason}"


def rollback(settings: RegistrySettings) -> str:
    """Make the previous champion champion again; doing it twice changes nothing back.

    Returns:
        What was done, in a sentence.

    Raises:
        RevelaError: there is no previous champion.
    """
    uri = tracking.tracking_uri()
    client = tracking.connect(uri)
    name = settings.model_name
    with promotion_lock(client, name) as held:
        previous, champion = by_alias(client, name, PREVIOUS), by_alias(client, name, CHAMPION)
        if previous is None:
            raise RevelaError(
                f"{name} has no @previous in {uri}: no champion was replaced since the last rollback. "
                "Name a version: revela promote VERSION"
            )
        held.confirm()
        client.set_registered_model_alias(name, CHAMPION, previous.version)
        client.delete_registered_model_alias(name, PREVIOUS)
        replaced = f" in place of version {champion.version}" if champion is not None else ""
        client.set_model_version_tag(name, previous.version, "promoted", f"rolled back to{replaced}")
    return f"{name} version {previous.version} is champion again{replaced}"
