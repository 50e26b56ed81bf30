"""Damage to a file that somebody was sent: it is gone, empty, cut, flipped in a bit, or has other JSON."""

import json


def damage_file(path, how, *where):
    data = path.read_bytes()
    if how == "remove":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(data[: int(where[0] * len(data))])
    elif how == "flip":
        at = min(int(where[0] * len(data)), len(data) - 1)
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << where[1]]) + data[at + 1 :])
    elif how == "replace":
        path.write_text(json.dumps(where[0]))
    else:
        state = json.loads(data) if path.suffix == ".json" else {"x": 1}
        name = sorted(state)[where[0] % len(state)]
        state.pop(name)
        path.write_text(json.dumps(state if how == "no field" else {**state, name: where[1]}))
