"""Eras and timelines: which periods there are, and which model stands for the people of each."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import UsageError, unknown_name

_SHIPPED = Path(__file__).parent / "timelines"


class Era(BaseModel):
    """A period and the model of its people.

    Attributes:
        name: short unique name, e.g. ``C013`` (the 13th century, 1201–1300).
        first_year: first year of the period, inclusive.
        last_year: last year of the period, inclusive.
        model: model folder, or hub id with or without ``@revision``, of its own; None for the
            timeline's base.
        adapter: folder of a LoRA adapter on the base, relative to the timeline's file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    first_year: int
    last_year: int
    model: str | None = None
    adapter: str | None = None

    @model_validator(mode="after")
    def _forwards(self) -> Era:
        if self.first_year > self.last_year:
            raise ValueError(f"{self.name} starts {self.first_year} and ends {self.last_year}")
        return self


class Loading(BaseModel):
    """How model folders and hub ids are loaded, in transformers' words.

    Attributes:
        dtype: ``auto`` is bfloat16 on a GPU and float32 elsewhere.
        device_map: where the layers go, e.g. ``auto`` to spread them over all GPUs; None for one
            device.
        quantization: ``4bit`` or ``8bit`` weights (bitsandbytes, the extra ``quantization``).
        revision: of hub ids that carry none of their own: a commit, branch or tag.
        trust_remote_code: run Python code that a model brings? Never unless a timeline says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device_map: str | None = None
    quantization: Literal["4bit", "8bit"] | None = None
    revision: str | None = None
    # No part of a timeline's hash where it says nothing.
    trust_remote_code: bool = Field(default=False, exclude_if=lambda given: not given)


class Timeline(BaseModel):
    """A sequence of eras over one base model.

    Attributes:
        name: short name, e.g. ``smollm2``.
        base: ``smollm2``, ``tiny``, a model folder, or a hub id with or without ``@revision``.
        eras: at least two, in order of time, without overlap.
        loading: how its models are loaded; adapters and the built-in bases need none of it.
        folder: where relative paths start; set on loading.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    base: str
    eras: tuple[Era, ...] = Field(min_length=2)
    loading: Loading = Loading()
    folder: Path = Field(default=Path("."), exclude=True)

    @model_validator(mode="after")
    def _in_order(self) -> Timeline:
        if len({era.name for era in self.eras}) < len(self.eras):
            raise ValueError("two eras have the same name")
        for before, after in zip(self.eras, self.eras[1:], strict=False):
            if before.last_year >= after.first_year:
                raise ValueError(f"era {after.name} starts before {before.name} ends")
        return self

    @classmethod
    def load(cls, source: str | Path) -> Timeline:
        """A shipped timeline by name, or one from a YAML file.

        Raises:
            UsageError: no such timeline, or a file that does not describe one.
        """
        path = Path(source)
        if path.suffix not in {".yaml", ".yml"}:
            path = _SHIPPED / f"{source}.yaml"
            if not path.is_file():
                raise unknown_name("models", str(source), shipped_timelines())
        try:
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))
            return cls.model_validate({**entries, "folder": path.parent})
        except FileNotFoundError:
            raise UsageError(f"No timeline file {path}.") from None
        except OSError as error:
            raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
        except (yaml.YAMLError, TypeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not a YAML mapping: {error}") from error
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'timeline'}: {e['msg']}" for e in error.errors()
            )
            raise UsageError(f"{path} does not describe a timeline: {problems}") from error

    def spaced(self, count: int | None) -> Timeline:
        """The same with fewer eras, evenly spaced from the first to the last; None keeps all."""
        last = len(self.eras) - 1
        if count is None or count > last:
            return self
        chosen = [round(i * last / (count - 1)) for i in range(count)]
        return self.model_copy(update={"eras": tuple(self.eras[i] for i in chosen)})

    def index(self, era: str) -> int:
        """Position of an era by name.

        Raises:
            UsageError: no such era; names the nearest.
        """
        names = [e.name for e in self.eras]
        if era not in names:
            raise unknown_name("era", era, names)
        return names.index(era)


def shipped_timelines() -> list[str]:
    """Names of the timelines that come with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))
