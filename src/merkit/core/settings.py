"""The base class of what recipes and other files of users set."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings that cannot be changed; misspelt keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def toml_values(self) -> dict[str, Any]:
        """Return every key with its value, defaults included; ``None`` is left out, as TOML has none."""
        return self.model_dump(mode="json", exclude_none=True)
