"""TensorFlow Serving's REST interface for one folder of versions, in Python: what it takes, what it answers.

It follows the reference of that interface: rows under "instances" or columns under "inputs", `{"b64": ...}` for string
tensors alone, a single output without its name, the largest version.
"""

import contextlib
import http.server
import json
import pathlib
import threading

import numpy as np
import tensorflow as tf


class Refused(ValueError):
    """What Serving answers with status 400."""


class Model:
    """The largest version in a folder of versions."""

    def __init__(self, base):
        self.version = max(int(path.name) for path in pathlib.Path(base).iterdir() if path.name.isdigit())
        self._loaded = tf.saved_model.load(str(pathlib.Path(base) / str(self.version)))

    def predict(self, body):
        request = json.loads(body)
        name = request.get("signature_name", "serving_default")
        if name not in self._loaded.signatures:
            raise Refused(f"Serving signature name: {name!r} not found in signature def")
        signature = self._loaded.signatures[name]
        specs = signature.structured_input_signature[1]
        if ("instances" in request) == ("inputs" in request):
            raise Refused("exactly one of 'instances' and 'inputs' is expected")
        columns = _rows(request["instances"], specs) if "instances" in request else _columns(request["inputs"], specs)
        tensors = {key: _tensor(columns[key], spec) for key, spec in specs.items()}
        outputs = {key: value.numpy().tolist() for key, value in signature(**tensors).items()}
        if "inputs" in request:
            return {"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs}
        if len(outputs) == 1:
            return {"predictions": next(iter(outputs.values()))}
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]}


def _rows(instances, specs):
    if not isinstance(instances, list) or not instances:
        raise Refused("'instances' is not a list, or empty")
    if len(specs) == 1 and not (isinstance(instances[0], dict) and "b64" not in instances[0]):
        return {next(iter(specs)): instances}
    if any(set(row) != set(specs) for row in instances):
        raise Refused(f"an instance has other inputs than {sorted(specs)}")
    return {key: [row[key] for row in instances] for key in specs}


def _columns(inputs, specs):
    if isinstance(inputs, dict) and "b64" not in inputs:
        if set(inputs) != set(specs):
            raise Refused(f"inputs are {sorted(inputs)}; expected {sorted(specs)}")
        return inputs
    if len(specs) != 1:
        raise Refused("'inputs' has no names, and the signature has several inputs")
    return {next(iter(specs)): inputs}


def _tensor(value, spec):
    try:
        array = np.array(value)
    except ValueError as error:
        raise Refused(f"rows of different sizes: {error}") from error
    if array.dtype == object or array.dtype.kind in "US":
        raise Refused(f"JSON value is not of the type {spec.dtype.name}; b64 is for string tensors")
    low, high = spec.dtype.limits if spec.dtype.is_integer else (0, 0)
    if spec.dtype.is_integer and (array.dtype.kind != "i" or array.min() < low or array.max() > high):
        raise Refused(f"JSON value is not of the type {spec.dtype.name}")
    if not spec.shape.is_compatible_with(array.shape):
        raise Refused(f"shape is {array.shape}; expected {spec.shape}")
    return tf.constant(array.astype(spec.dtype.as_numpy_dtype))


@contextlib.contextmanager
def serving(name, base):
    """A server of the model under that name; yields its address."""
    model = Model(base)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                assert self.path == f"/v1/models/{name}:predict"
                status, answer = 200, model.predict(body)
            except Refused as error:
                status, answer = 400, {"error": str(error)}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
