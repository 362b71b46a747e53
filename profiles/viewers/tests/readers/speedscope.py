"""Checks a file for speedscope against its schema and prints, for each profile, the weights by root frame.

    speedscope.py SCHEMA FILE
"""

import json
import sys

import jsonschema

schema, file = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
jsonschema.validate(file, schema)

frames = file["shared"]["frames"]
summary = {}
for profile in file["profiles"]:
    assert len(profile["samples"]) == len(profile["weights"]), profile["name"]
    assert profile["endValue"] - profile["startValue"] == sum(profile["weights"]), profile["name"]
    weights = summary.setdefault(profile["name"], {})
    for stack, weight in zip(profile["samples"], profile["weights"]):
        assert weight > 0 and all(0 <= frame < len(frames) for frame in stack), (stack, weight)
        root = frames[stack[0]]["name"]
        weights[root] = weights.get(root, 0) + weight
print(json.dumps(summary))
