"""The halt lever: one file that, while it is there, forbids every run. A lever that cannot be read counts as pulled."""

import contextlib
import os
from pathlib import Path


class HaltLever:
    """The lever of one system, in its state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def why_pulled(self) -> str:
        """The reason it was pulled for; empty when it is not."""
        try:
            return self.path.read_text().strip() or "no reason was given"
        except FileNotFoundError:
            return "" if self.path.parent.is_dir() else f"the state folder {self.path.parent} is gone"
        except (OSError, UnicodeDecodeError) as error:
            return f"the lever {self.path} cannot be read ({error}), which counts as pulled"

    def pull(self, reason: str) -> None:
        """Write the reason, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(f".{os.getpid()}.new")
        new.write_text(reason.strip() + "\n")
        new.replace(self.path)

    def release(self) -> bool:
        """Take it back; False when it was not pulled."""
        pulled = self.path.exists()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        return pulled
