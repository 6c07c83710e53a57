# `python3 host.py LIBRARY [PRECISION]` solves the bench's problems with numpy or torch, as the lines on its standard input ask.
# Each line is a JSON request, each answer a JSON line: see bench/peer.ts, which holds the other end.
import importlib
import json
import sys
import time

import numpy as np


def prepare(peer, problem, inputs, folder):
    make = peer.problems.get(problem["kind"])
    if make is None:
        return None, {"cannot": "has no such operation"}
    tensors = [np.fromfile(i["file"], dtype=np.float32).reshape(i["shape"]) for i in inputs]
    solution = make(problem, *tensors)
    files = []
    for k, values in enumerate(solution.outputs()):
        files.append(f"{folder}/output{k}")
        np.ascontiguousarray(values, dtype=np.float32).tofile(files[-1])
    return solution, {"outputs": files}


def timed(solution, repeats):
    began = time.perf_counter()
    for _ in range(repeats):
        solution.run()
    solution.settled()
    return {"ms": (time.perf_counter() - began) * 1000 / repeats}


def main():
    def reply(message):
        print(json.dumps(message), flush=True)

    try:
        peer = importlib.import_module(f"peer_{sys.argv[1]}")
    except Exception as error:
        return reply({"cannot": str(error).split("\n")[0]})
    reply({"ready": peer.description})
    solution = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if message["request"] == "prepare":
                solution, answer = prepare(peer, message["problem"], message["inputs"], message["folder"])
                reply(answer)
            elif message["request"] == "time":
                reply(timed(solution, message["repeats"]))
            else:
                solution = None
                reply({})
        except Exception as error:
            reply({"cannot": f"{type(error).__name__}: {error}".split("\n")[0]})


main()
