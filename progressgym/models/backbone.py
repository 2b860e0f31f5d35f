"""One base model whose weights all adapters share, and the slot through which they act."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import UsageError
from ..storage import atomic_path, cache_folder, sha256_json, write_json
from .calibration import measured_pace
from .packing import packed, standing_in
from .store import StateStore
from .trunk import Trunk, install_trunk
from .work import note

SLOT = "policy"
_PEFT_PREFIX = "base_model.model."  # how peft names the parameters in its files
MEMORY_BYTES = 128 << 20  # of trunk states in memory
DISK_BYTES = 2 << 30  # and in the user's cache
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Weights = dict[str, Tensor]
"""Adapter weights by parameter name, in the naming of peft's ``adapter_model.safetensors``."""


@dataclass(frozen=True)
class AdapterShape:
    """Which low-rank adapter a base carries: rank, scale and the number of top layers."""

    rank: int = 16
    alpha: int = 32
    top_layers: int = 10

    @classmethod
    def of(cls, layers: int) -> AdapterShape:
        """That of a base with so many layers: the upper third of them."""
        return cls(top_layers=max(1, layers // 3))

    def peft_config(self, model: PreTrainedModel) -> LoraConfig:
        """The same in peft's words."""
        layers = model.config.num_hidden_layers
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            target_modules=list(TARGETS),
            layers_to_transform=list(range(layers - self.top_layers, layers)),
            layers_pattern="layers",
            task_type="CAUSAL_LM",
        )


def fitting_device() -> str:
    """Where models go on this machine, unless their timeline says otherwise."""
    return "cuda" if torch.cuda.is_available() else "cpu"


class Backbone:
    """A base model, its tokenizer, its trunk and one adapter slot.

    Adapters are plain dictionaries of tensors. :meth:`using` points the slot's parameters at one
    of them, so switching copies nothing and training changes the dictionary's own tensors. For
    reading, :meth:`reading` adds the adapter to a copy of the layers it touches, of which there
    is one: low-rank products cost a tenth more than none.

    Args:
        model: the base, in evaluation mode; it is changed in place (slot and trunk).
        tokenizer: its tokenizer.
        name: how the base is called in results.
        fingerprint: sha256 that stands for the base's weights.
        shape: the adapters it carries.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        fingerprint: str,
        shape: AdapterShape,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.fingerprint = fingerprint
        self.shape = shape
        self.lock = threading.RLock()
        self.logprobs: dict[str, list[float]] = {}  # what was read; see Policy.encoded_logprobs
        self.peft_config = shape.peft_config(model)
        model.requires_grad_(False)
        model.add_adapter(self.peft_config, SLOT)
        _keep_adapters_here(model)
        self.pace = measured_pace(model, model.model.layers[0], fingerprint)
        lower = model.config.num_hidden_layers - shape.top_layers
        store = StateStore(self._store_folder(lower), MEMORY_BYTES, DISK_BYTES)
        self.trunk: Trunk = install_trunk(model, lower, store, self.pace)
        self._adapted = {
            f"{_PEFT_PREFIX}{name}": module
            for name, module in model.named_modules()
            if isinstance(module, LoraLayer)
        }
        self._merged: dict[str, Tensor] = {}
        self._merged_fingerprint = ""
        self._slot = {
            _PEFT_PREFIX + name.replace(f".{SLOT}.", "."): parameter
            for name, parameter in model.named_parameters()
            if f".{SLOT}." in name
        }

    def _store_folder(self, layers: int) -> Path:
        """Where the trunk's states are kept: apart for all that could change their last bits."""
        machine = torch.backends.cpu.get_cpu_capability()
        if self.model.device.type == "cuda":
            machine = torch.cuda.get_device_name()
        origin = [self.fingerprint, layers, str(self.model.dtype), torch.__version__, machine]
        origin += [self.pace.packed]
        return cache_folder() / "trunk" / sha256_json(origin)[:24]

    @property
    def mixed(self) -> bool:
        """Is it trained in mixed precision? On a GPU, if its weights are rounded already."""
        return self.model.device.type == "cuda" and self.model.dtype == torch.bfloat16

    @property
    def adapter(self) -> Mapping[str, Tensor]:
        """The slot's parameters, which training changes, by the names of :data:`Weights`."""
        return self._slot

    @contextmanager
    def using(self, weights: Weights, remember: bool = True) -> Iterator[PreTrainedModel]:
        """The model with an adapter's weights in its slot.

        Args:
            weights: the adapter.
            remember: keep what can be used again; off for texts that do not come twice.
        """
        with self.lock, self.pace.threads_set(), ExitStack() as stack:
            outer = {name: parameter.data for name, parameter in self._slot.items()}
            use_cache = self.model.config.use_cache
            if not remember:
                stack.enter_context(self.trunk.store.forgetful())
            self._point_at(weights)
            try:
                yield self.model
            finally:
                self.model.config.use_cache = use_cache  # trainers switch it off for good
                self._point_at(outer)

    @contextmanager
    def reading(self, weights: Weights) -> Iterator[PreTrainedModel]:
        """The same for reading only: nothing can be trained, and it is faster.

        In half precision the adapter stays apart: rounded into the weights it would be lost. So it
        does where the weights are quantised or offloaded.
        """
        with self.using(weights) as model, torch.inference_mode():
            if not self._mergeable:
                yield model
                return
            self._merge(weights)
            layers = {name: module.get_base_layer() for name, module in self._adapted.items()}
            data = {name: layer.weight.data for name, layer in layers.items()}
            outer = {name: module.merged_adapters for name, module in self._adapted.items()}
            with standing_in({layers[n]: self._merged[n] for n in layers if self.pace.packed}):
                for name, module in self._adapted.items():
                    if not self.pace.packed:
                        layers[name].weight.data = self._merged[name]
                    module.merged_adapters = [SLOT]  # peft then asks the layer alone
                try:
                    yield model
                finally:
                    for name, module in self._adapted.items():
                        layers[name].weight.data = data[name]
                        module.merged_adapters = outer[name]

    @property
    def _mergeable(self) -> bool:
        layers = (module.get_base_layer() for module in self._adapted.values())
        weights = [layer.weight for layer in layers]
        return all(w.dtype == torch.float32 and not w.is_meta for w in weights)

    def _merge(self, weights: Weights) -> None:
        """Fill the copy of the adapted layers with base plus adapter."""
        fingerprint = weights_fingerprint(self, weights)
        if fingerprint == self._merged_fingerprint:
            return
        note("switch")
        self._merged_fingerprint = ""
        self._merged.clear()  # first, so that its memory is taken again
        for name, module in self._adapted.items():
            down, up = weights[f"{name}.lora_A.weight"], weights[f"{name}.lora_B.weight"]
            base = module.get_base_layer().weight
            merged = torch.addmm(base, up, down, alpha=module.scaling[SLOT])
            self._merged[name] = packed(merged) if self.pace.packed else merged
        self._merged_fingerprint = fingerprint

    def _point_at(self, weights: Weights) -> None:
        for name, parameter in self._slot.items():
            parameter.data = weights[name]

    def fresh_weights(self, seed: int = 0) -> Weights:
        """A new adapter that changes nothing yet."""
        return fresh_adapter(self._slot, seed)

    def load_weights(self, folder: Path) -> Weights:
        """Read an adapter folder in peft's format.

        Raises:
            UsageError: the folder holds no adapter, a damaged one, or one of another shape.
        """
        path = folder / "adapter_model.safetensors"
        if not path.is_file():
            raise UsageError(f"No adapter in {folder}: expected adapter_model.safetensors.")
        try:
            loaded = load_file(path)
            same_scale = self._same_scale(folder / "adapter_config.json")
        except (OSError, SafetensorError, ValueError, AttributeError) as error:
            raise UsageError(f"The adapter in {folder} is damaged: {error}") from error
        names = set(loaded) | set(self._slot)
        wrong = sorted(
            name
            for name in names
            if name not in loaded
            or name not in self._slot
            or loaded[name].shape != self._slot[name].shape
        )
        if wrong or not same_scale:
            detail = f"{len(wrong)} tensors differ, for example {wrong[0]!r}" if wrong else "scale"
            raise UsageError(
                f"The adapter in {folder} does not fit {self.name}: {detail}. "
                f"Expected {self.shape}."
            )
        return {name: loaded[name].to(slot) for name, slot in self._slot.items()}

    def _same_scale(self, path: Path) -> bool:
        """Would peft scale the adapter as this base does? True where no configuration says."""
        if not path.is_file():
            return True
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{path} is not JSON: {error}.") from error
        if not isinstance(config, dict):
            raise UsageError(f"{path} is no JSON object.")
        alpha, rank = config.get("lora_alpha", self.shape.alpha), config.get("r", self.shape.rank)
        return (alpha, rank) == (self.shape.alpha, self.shape.rank) and not config.get("use_rslora")

    def save_weights(
        self, weights: Weights, folder: Path, dtype: torch.dtype = torch.float32
    ) -> None:
        """Write an adapter folder in peft's format, readable by peft on the plain base."""
        save_adapter(weights, self.peft_config, self.name, folder, dtype)


def _keep_adapters_here(model: PreTrainedModel) -> None:
    """Where a layer is offloaded, its adapter is not: it is small, and it changes."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer) and layer.get_base_layer().weight.is_meta:
            device = layer.get_base_layer()._hf_hook.execution_device
            for part in (layer.lora_A[SLOT], layer.lora_B[SLOT]):
                part.to_empty(device=device)


def fresh_adapter(like: Mapping[str, Tensor], seed: int) -> Weights:
    """A new adapter that changes nothing yet: A is random, B is zero (LoRA, Hu et al. 2021).

    Args:
        like: one of this shape, precision and place.
        seed: of A.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, parameter in like.items():
        fresh = torch.zeros_like(parameter)
        if "lora_A" in name:
            bound = parameter.shape[1] ** -0.5
            fresh = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
        weights[name] = fresh.to(parameter)
    return weights


def save_adapter(
    weights: Weights, peft_config: LoraConfig, base: str, folder: Path, dtype: torch.dtype
) -> None:
    """Write an adapter folder in peft's format; ``base`` is what its base is called there."""
    with atomic_path(folder / "adapter_model.safetensors") as path:
        path.write_bytes(  # not save_file, whose errors do not say that the disk is full
            save({k: v.detach().to(dtype).cpu().contiguous() for k, v in weights.items()})
        )
    config = {**peft_config.to_dict(), "base_model_name_or_path": base}
    write_json(
        folder / "adapter_config.json",
        {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()},
    )


def weights_fingerprint(backbone: Backbone, weights: Weights) -> str:
    """sha256 of the base's fingerprint and an adapter's values."""
    hashes = {
        name: hashlib.sha256(tensor.detach().float().cpu().numpy().tobytes()).hexdigest()
        for name, tensor in weights.items()
    }
    return sha256_json([backbone.fingerprint, hashes])
