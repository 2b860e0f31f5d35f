# ProgressGym in a container. docs/deployment.md says how to build and use it.
#   docker build --target cpu  -t progressgym:cpu .
#   docker build --target cuda -t progressgym:cuda .
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm
# Torch's wheel brings the CUDA libraries that it was built for; the image has only what they need.
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-base-ubuntu24.04


FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .


FROM ${PYTHON_IMAGE} AS cpu
# An index with PyTorch's CPU wheels makes this image some gigabytes smaller: pytorch.org names it.
ARG TORCH_INDEX=""
ARG EXTRAS="corpora,leaderboard,ray"
ENV PATH=/opt/progressgym/bin:$PATH PYTHONDONTWRITEBYTECODE=1
RUN python3 -m venv /opt/progressgym
COPY constraints.txt /opt/progressgym/
RUN pip install --no-cache-dir --constraint /opt/progressgym/constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /opt/progressgym/constraints.txt \
        "$(echo /wheels/*.whl)[${EXTRAS}]"
RUN useradd --create-home --uid 10001 gym \
    && install --directory --owner gym --group gym /home/gym/cache /results
ENV PROGRESSGYM_CACHE=/home/gym/cache HF_HOME=/home/gym/cache/huggingface
USER 10001
WORKDIR /results
VOLUME ["/home/gym/cache", "/results"]
ENTRYPOINT ["progressgym"]
CMD ["--help"]


FROM ${CUDA_IMAGE} AS cuda
ARG EXTRAS="corpora,leaderboard,quantization,ray"
ENV PATH=/opt/progressgym/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/progressgym
COPY constraints.txt /opt/progressgym/
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /opt/progressgym/constraints.txt \
        "$(echo /wheels/*.whl)[${EXTRAS}]"
RUN useradd --create-home --uid 10001 gym \
    && install --directory --owner gym --group gym /home/gym/cache /results
ENV PROGRESSGYM_CACHE=/home/gym/cache HF_HOME=/home/gym/cache/huggingface
USER 10001
WORKDIR /results
VOLUME ["/home/gym/cache", "/results"]
ENTRYPOINT ["progressgym"]
CMD ["--help"]
