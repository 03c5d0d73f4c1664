"""The mirror of the local target: model servers read the portal's own store, so there is nothing to do."""

from releases.ports import Deployment


class LocalMirror:
    """Port `ArtifactMirror`."""

    def address(self, deployment: Deployment) -> str:
        return str(deployment.artifact)

    def holds(self, deployment: Deployment) -> bool:
        return deployment.artifact.is_dir()

    def put(self, deployment: Deployment) -> None:
        """The store is where the model servers look."""
