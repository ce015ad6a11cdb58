"""The training log: one JSON object per line, appended as training goes, shipped beside the weights."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Journal:
    """Rows about one model; several models may share the file."""

    path: Path
    model: str

    def write(self, **fields: object) -> None:
        """Append one row; floats are cut to six significant digits so that the committed file stays small."""
        row = {"model": self.model} | {name: _short(value) for name, value in fields.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop this model's rows past ``step``: training goes on from there, and a log tells one story.

        Its result goes too, as the end of the run writes a new one. At step 0 there is no story yet: all rows go.
        """
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            self.path.write_text(
                "".join(line for line in lines if self._keeps(json.loads(line), step)), encoding="utf-8"
            )

    def inherit(self, source: Path) -> None:
        """Keep the rows of ``source`` about this model, which is trained on from there, under a name of their own."""
        rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        earlier = Journal(self.path, f"{self.model}, before")
        earlier.forget_after(0)
        for row in rows:
            if row.pop("model") == self.model:
                earlier.write(**row)

    def _keeps(self, row: dict[str, object], step: int) -> bool:
        return row["model"] != self.model or ("heldout" not in row and 0 < step >= int(str(row["step"])))


def _short(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return value
