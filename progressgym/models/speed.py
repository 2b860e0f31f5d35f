"""How fast a machine does each kind of work: measured here, or told from a processor's figures."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PretrainedConfig

from ..storage import sha256_json
from .backbone import AdapterShape, Backbone, fitting_device
from .calibration import Pace, assuming, calibrated, machine_key, measured_pace
from .dimensions import Dimensions
from .packing import packed
from .reading import token_logprobs
from .trees import Tree
from .work import KINDS, Work

LAYERS = 6  # of the cut of a base that is measured, half of them upper ones
ROW = 64  # tokens of a row while measuring
SMALL, HEADS = 64, (32, 256)  # tokens of a small pass; places of a small and a large reading
READ = 8  # one token of so many is read
REPEATS = 3
_LAST = 0.2  # of a layer's work is left to the last one, which works only where something is read
UTILISATION = 0.3  # share of a processor's peak that small batches are taken to reach
DISK = 1e9  # bytes a second at which weights are taken to be loaded


@dataclass(frozen=True)
class Speed:
    """Seconds of each kind of work.

    Attributes:
        per_pass: seconds of a pass, by kind.
        per_token: seconds of each token in it.
        pace: how passes are made.
        training_bytes: what a token of a training pass keeps for the way back.
    """

    per_pass: dict[str, float]
    per_token: dict[str, float]
    pace: Pace
    training_bytes: float

    def seconds(self, work: Work) -> float:
        """Seconds that some work takes."""
        return sum(
            passes * self.per_pass.get(kind, 0.0)
            + work.tokens[kind] * self.per_token.get(kind, 0.0)
            for kind, passes in work.passes.items()
        )


def measured_speed(config: PretrainedConfig, shape: AdapterShape, dtype: torch.dtype) -> Speed:
    """The speed of a base on this machine, measured in some seconds unless the cache has it.

    What is measured has the base's own width and vocabulary, fewer layers and random weights: no
    weights are needed, and hardly more memory than some layers take.

    Args:
        config: of the base.
        shape: of its adapters.
        dtype: of its weights.
    """
    device = torch.device(fitting_device())
    layers = min(LAYERS, config.num_hidden_layers)
    cut = copy.deepcopy(config)
    if getattr(cut, "layer_types", None):
        cut.layer_types = cut.layer_types[:layers]
    cut.num_hidden_layers = layers

    plain = {k: v for k, v in config.to_dict().items() if not k.startswith("_")}
    how = [LAYERS, ROW, SMALL, HEADS, READ, torch.__version__, machine_key(device)]
    key = sha256_json([plain, repr(shape), str(dtype), *how])

    def measure() -> dict[str, Any]:
        with torch.random.fork_rng(), torch.device(device):
            model = AutoModelForCausalLM.from_config(cut, dtype=dtype, attn_implementation="sdpa")
        pace = measured_pace(model, model.model.layers[0], key)
        part = replace(shape, top_layers=max(1, layers // 2))
        with assuming(pace), pace.threads_set():
            backbone = Backbone(model, None, "cut", "cut", part)
            found = _Measured(backbone)
            lower = (config.num_hidden_layers - shape.top_layers) / (layers - part.top_layers)
            upper = (shape.top_layers - 1 + _LAST) / (part.top_layers - 1 + _LAST)
            return asdict(found.speed(lower, upper))

    return calibrated("speed", key, measure, lambda m: Speed(**{**m, "pace": Pace(**m["pace"])}))


def told_speed(
    size: Dimensions, flops: float, bandwidth: float, utilisation: float = UTILISATION
) -> Speed:
    """The speed that a processor's figures let expect; nothing is measured.

    A pass waits for the weights that it reads, its tokens for the products that they need.

    Args:
        size: of the base.
        flops: peak rate of its products, operations a second.
        bandwidth: of its memory, bytes a second.
        utilisation: share of both that is reached.
    """
    return Speed(
        per_pass={k: size.read_bytes(k) / (utilisation * bandwidth) for k in KINDS},
        per_token={k: size.flops(k) / (utilisation * flops) for k in KINDS},
        pace=Pace(0, 2048, False, 0.0),
        training_bytes=size.guessed_training_bytes,
    )


class _Measured:
    """Seconds of each kind of work of one backbone."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.model, self.trunk, self.pace = backbone.model, backbone.trunk, backbone.pace
        self.width = self.model.config.hidden_size
        self.device, self.dtype = self.model.device, self.model.dtype
        self.first, self.second = (backbone.fresh_weights(seed) for seed in (0, 1))
        self.kept = 0.0

    def speed(self, lower: float, upper: float) -> Speed:
        """All of it, for ``lower`` and ``upper`` times as many layers."""
        large = max(self.pace.batch_tokens, 2 * SMALL)
        layout = self._layout()
        lines = {
            "lower": _line(*((n, self._lower(n) - layout) for n in (SMALL, large))),
            "upper": _line(*((n, self._upper(n)) for n in (SMALL, large))),
            "training": _line(*((n, self._training(n)) for n in (SMALL, 4 * SMALL))),
            "head": _line(*((n, self._head(n, False)) for n in HEADS)),
            "head_training": _line(*((n, self._head(n, True)) for n in HEADS)),
        }
        scales = {"lower": lower, "upper": upper, "training": upper}
        per_pass = {kind: line[0] * scales.get(kind, 1.0) for kind, line in lines.items()}
        per_token = {kind: line[1] * scales.get(kind, 1.0) for kind, line in lines.items()}
        per_pass["layout"] = layout * lower
        per_pass["switch"], per_pass["optimizer"] = self._switch() * upper, self._step() * upper
        return Speed(per_pass, per_token, self.pace, self.kept * upper)

    def _seconds(self, task: Callable[[], object]) -> float:
        """Of the fastest of some repetitions, as on a machine that does nothing else."""
        cuda = self.device.type == "cuda"
        clock = time.perf_counter if cuda else time.thread_time  # waiting for others is left out
        best = float("inf")
        for _ in range(REPEATS + 1):
            start = clock()
            task()
            if cuda:
                torch.cuda.synchronize()
            best = min(best, clock() - start)
        return best

    def _layout(self) -> float:
        """Of laying out the lower layers' weights."""
        if not self.pace.packed:
            return 0.0
        modules = [part for layer in self.trunk.lower_layers for part in layer.modules()]
        weights = [part.weight for part in modules if isinstance(part, torch.nn.Linear)]
        return self._seconds(lambda: [packed(weight) for weight in weights])

    def _lower(self, tokens: int) -> float:
        """Of rows with a branch each, as sentences that begin alike have."""
        tree = Tree(tuple(range(ROW)), (*range(-1, ROW - 2), ROW // 2))
        return self._seconds(lambda: self.trunk.compute([tree] * (tokens // ROW)))

    def _inputs(self, tokens: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hidden states, positions, mask and what is read, for the upper layers."""
        shape = (tokens // ROW, ROW)
        hidden = torch.ones(*shape, self.width, device=self.device, dtype=self.dtype)
        positions = torch.arange(ROW, device=self.device).expand(shape)
        seen = torch.ones(ROW, ROW, dtype=torch.bool, device=self.device).tril()
        read = torch.arange(0, tokens, READ, device=self.device)
        return hidden, positions, seen.expand(shape[0], 1, ROW, ROW), read

    def _upper(self, tokens: int) -> float:
        inputs = self._inputs(tokens)
        with self.backbone.reading(self.first):
            return self._seconds(lambda: self.trunk.run_upper(*inputs))

    def _training(self, tokens: int) -> float:
        inputs = self._inputs(tokens)
        fast = torch.autocast(self.device.type, torch.bfloat16, self.backbone.mixed)
        own = {p.untyped_storage().data_ptr() for p in self.model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        def both_ways() -> None:
            with fast:
                self.trunk.run_upper(*inputs).sum().backward()

        with self.backbone.using(self.first):
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), fast:
                self.trunk.run_upper(*inputs).sum()
            self.kept = sum(kept.values()) / tokens
            return self._seconds(both_ways)

    def _head(self, places: int, training: bool) -> float:
        states = torch.ones(places, self.width, device=self.device, dtype=self.dtype)
        states.requires_grad_(training)
        every = torch.arange(places, device=self.device)
        with torch.set_grad_enabled(training):
            return self._seconds(lambda: token_logprobs(self.model, states, every, every))

    def _switch(self) -> float:
        """To another adapter and back, halved; nothing is read."""

        def there_and_back() -> None:
            for weights in (self.first, self.second):
                with self.backbone.reading(weights):
                    pass

        return self._seconds(there_and_back) / 2

    def _step(self) -> float:
        """Of AdamW over the adapter, with its clipping of gradients."""
        parameters = [torch.nn.Parameter(tensor.clone()) for tensor in self.first.values()]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer = torch.optim.AdamW(parameters)

        def step() -> None:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

        return self._seconds(step)


def _line(small: tuple[int, float], large: tuple[int, float]) -> tuple[float, float]:
    """Seconds of a pass and of each token in it, from two passes."""
    (few, least), (many, most) = small, large
    slope = max(0.0, (most - least) / (many - few))
    slope = min(slope, most / many)  # noise must not make a pass cost less than nothing
    return max(0.0, most - slope * many), slope
