"""A small OpenAI-compatible server over the models of a timeline, as a process of its own.

It stands in for vLLM's in tests, and computes by the stock forward pass of transformers, one row
at a time: none of the code that it checks has a part in its numbers. Of the completions API it
knows what vLLM documents: prompts as lists of token ids, ``echo``, ``logprobs``, ``max_tokens``,
``logprob_token_ids`` and ``return_tokens_as_token_ids``. ``POST /test`` changes its manners:

- ``faults``: what to do with the next requests instead of answering, one after the other: a
  status (``503``, ``429``: with Retry-After), ``hang``, ``garbage``, ``list``, ``cut``, ``close``;
- ``gathers``: does it know ``logprob_token_ids``? ``true``, ``false``: ignores it, ``refuses``;
- ``adds``: tokens that it adds to each prompt; ``silent``: gives no log-probabilities;
- ``key``: that it wants.

``GET /test`` says what it was asked. Run: ``python completions_server.py TIMELINE``; it prints its
port.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from progressgym.models import Policy, base_policy, era_policy
from progressgym.timeline import Timeline

HANG = 3.0  # seconds; longer than a test's client waits
LOCK = threading.Lock()
MODELS: dict[str, Policy] = {}
MANNERS: dict[str, Any] = {}
SEEN: dict[str, Any] = {}


def reset() -> None:
    MANNERS.clear()
    MANNERS.update(faults=[], gathers=True, adds=[], silent=False, key=None)
    SEEN.clear()
    SEEN.update(requests=0, rows=0, together=0, most_together=0, authorization=None)


def logprobs(policy: Policy, rows: list[list[int]]) -> Iterator[torch.Tensor]:
    """log p of every token after every position, (len(row), vocabulary), row by row."""
    with LOCK, policy.active(remember=False) as model, torch.no_grad():
        for row in rows:
            logits = model(input_ids=torch.tensor([row]), use_cache=True).logits[0]
            yield logits.double().log_softmax(-1)


def choice(index: int, row: list[int], scores: torch.Tensor, body: dict) -> dict[str, Any]:
    tokens, said, top = [], [], []
    if body.get("echo"):
        tokens += row
        said += [None] + [float(scores[i, token]) for i, token in enumerate(row[1:])]
        top += [None] + [{f"token_id:{t}": s} for t, s in zip(row[1:], said[1:], strict=True)]
    if body.get("max_tokens", 16) > 0:
        chosen = int(scores[-1].argmax())
        named = {chosen}
        if MANNERS["gathers"] is True:
            named |= set(body.get("logprob_token_ids") or [])
        tokens.append(chosen)
        said.append(float(scores[-1, chosen]))
        top.append({f"token_id:{token}": float(scores[-1, token]) for token in named})
    found = {
        "tokens": [f"token_id:{token}" for token in tokens],
        "token_logprobs": said,
        "top_logprobs": top,
    }
    return {"index": index, "text": "", "logprobs": None if MANNERS["silent"] else found}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, message: str) -> None:
        self.answer({"error": {"message": message, "code": status}}, status)

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

    def do_GET(self) -> None:
        if self.path == "/test":
            self.answer(SEEN)
        elif self.path == "/v1/models":
            self.answer({"object": "list", "data": [{"id": name} for name in MODELS]})
        else:
            self.refuse(404, "Not Found")

    def do_POST(self) -> None:
        body = self.body()
        if self.path == "/test":
            reset()
            MANNERS.update(body)
            self.answer({})
            return
        with LOCK:
            SEEN["requests"] += 1
            SEEN["together"] += 1
            SEEN["most_together"] = max(SEEN["most_together"], SEEN["together"])
            SEEN["authorization"] = self.headers.get("Authorization")
            fault = MANNERS["faults"].pop(0) if MANNERS["faults"] else None
        try:
            self.misbehave(fault) if fault else self.complete(body)
        finally:
            with LOCK:
                SEEN["together"] -= 1

    def misbehave(self, fault: str) -> None:
        if fault == "hang":
            time.sleep(HANG)
        elif fault == "garbage":
            self.answer(b'{"choices": [{"index"')
        elif fault == "list":
            self.answer([1, 2, 3])
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices"')
        elif fault == "429":
            self.answer({"error": {"message": "slow down"}}, 429, Retry_After="1")
            return
        elif fault != "close":
            self.refuse(int(fault), "on purpose")
            return
        self.close_connection = True

    def complete(self, body: dict[str, Any]) -> None:
        if MANNERS["key"] and self.headers.get("Authorization") != f"Bearer {MANNERS['key']}":
            self.refuse(401, "Unauthorized")
        elif self.path != "/v1/completions" or body.get("model") not in MODELS:
            self.refuse(404, f"The model `{body.get('model')}` does not exist.")
        elif MANNERS["gathers"] == "refuses" and "logprob_token_ids" in body:
            self.refuse(400, "Unknown field logprob_token_ids")
        else:
            with LOCK:
                SEEN["rows"] += len(body["prompt"])
            rows = [[*MANNERS["adds"], *row] for row in body["prompt"]]
            scores = list(logprobs(MODELS[body["model"]], rows))
            choices = [choice(i, rows[i], scores[i], body) for i in range(len(rows))]
            self.answer({"choices": choices[::-1]})  # in another order, to be put right


def main() -> None:
    timeline = Timeline.load(sys.argv[1])
    MODELS[timeline.base] = base_policy(timeline)
    MODELS.update({era.name: era_policy(timeline, era) for era in timeline.eras})
    reset()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
