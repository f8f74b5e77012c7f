"""The upstream: a process that speaks the OpenAI API and writes down exactly what reached it.

`POST /v1/chat/completions`, plain and streamed, is answered by the package fakellm. It knows no other OpenAI endpoint,
so embeddings, completions, responses, models and /healthz are answered here, in the API's own forms; nothing here is a
model. The record of a request holds its head, the bytes of its body and whether they came whole.

    python upstream.py RECORD CONFIG      prints the port, serves until it is ended
"""

import asyncio
import base64
import hashlib
import json
import os
import socket
import struct
import sys
import time

import uvicorn

MODELS = ["gpt-4o", "gpt-4o-mini", "llama-3.1-8b", "text-embedding-3-small"]


def _usage(text):
    tokens = max(1, len(text) // 4)
    return {"prompt_tokens": tokens, "completion_tokens": 3, "total_tokens": tokens + 3}


def embeddings(body):
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    rows = []
    for index, text in enumerate(inputs):
        digest = hashlib.sha256(str(text).encode()).digest()[:8]
        vector = [byte / 255 for byte in digest]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        rows.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = max(1, sum(len(str(t)) for t in inputs) // 4)
    return {"object": "list", "model": body["model"], "data": rows, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def completions(body):
    return {"id": "cmpl-demo", "object": "text_completion", "created": int(time.time()), "model": body["model"],
            "choices": [{"index": 0, "text": " and so it ended.", "finish_reason": "stop", "logprobs": None}],
            "usage": _usage(str(body.get("prompt", "")))}


def responses(body):
    text = {"type": "output_text", "text": "A short answer.", "annotations": [], "logprobs": []}
    message = {"type": "message", "id": "msg_demo", "role": "assistant", "status": "completed", "content": [text]}
    return {"id": "resp_demo", "object": "response", "created_at": int(time.time()), "status": "completed",
            "model": body["model"], "output": [message], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
            "usage": {"input_tokens": 4, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 4,
                      "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 8}}


def model(name):
    return {"id": name, "object": "model", "created": 1700000000, "owned_by": "demo"}


POSTS = {"/v1/embeddings": embeddings, "/v1/completions": completions, "/v1/responses": responses}


def answer(method, path, body):
    """Status and JSON of what fakellm does not speak; None where fakellm is to answer."""
    if method == "POST" and path == "/v1/chat/completions":
        return None
    if method == "POST" and path in POSTS:
        return 200, POSTS[path](json.loads(body))
    if method == "GET" and path == "/v1/models":
        return 200, {"object": "list", "data": [model(name) for name in MODELS]}
    if method == "GET" and path.startswith("/v1/models/") and path.removeprefix("/v1/models/") in MODELS:
        return 200, model(path.removeprefix("/v1/models/"))
    if method == "GET" and path == "/healthz":
        return 200, {"status": "ok"}
    return 404, {"error": {"message": "the upstream does not know this path", "type": "not_found", "param": None, "code": "upstream_unknown"}}


class Upstream:
    """The ASGI application: reads the whole request, writes it down, then lets it be answered."""

    def __init__(self, record, chat):
        self._record, self._chat = record, chat

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self._chat(scope, receive, send)
        body, complete = b"", False
        while not complete:
            event = await receive()
            if event["type"] == "http.disconnect":
                break
            body += event.get("body", b"")
            complete = not event.get("more_body", False)
        self._write(scope, body, complete)
        if not complete:
            return None
        own = answer(scope["method"], scope["path"], body)
        if own is None:
            return await self._chat(scope, self._replay(body, receive), send)
        status, payload = own
        text = json.dumps(payload).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": text})

    def _write(self, scope, body, complete):
        line = {
            "method": scope["method"], "path": scope["raw_path"].decode("latin-1"), "query": scope["query_string"].decode("latin-1"),
            "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]],
            "complete": complete, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(),
            "body": base64.b64encode(body).decode(),
        }
        self._record.write(json.dumps(line) + "\n")
        self._record.flush()

    @staticmethod
    def _replay(body, receive):
        first = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay():
            return first.pop() if first else await receive()

        return replay


def main():
    record_path, config_path = sys.argv[1:3]
    os.environ["FAKELLM_CONFIG"] = config_path  # fakellm reads it when it is imported
    from fakellm.server import app as chat

    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listening.getsockname()[1], flush=True)
    with open(record_path, "a", encoding="utf-8") as record:
        config = uvicorn.Config(Upstream(record, chat), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()
