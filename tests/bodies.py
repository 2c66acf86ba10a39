"""The bodies of ``golden/badinput/configs.json``: how they write what JSON cannot."""


def built(part):
    """A body of configs.json as Python data."""
    if isinstance(part, list):
        return [built(item) for item in part]
    if not isinstance(part, dict):
        return part
    if set(part) == {"repeat", "times"}:
        return built(part["repeat"]) * part["times"]
    if set(part) == {"join"}:
        return "".join(map(built, part["join"]))
    if set(part) == {"float"}:
        return float(part["float"])
    return {key: built(value) for key, value in part.items()}
