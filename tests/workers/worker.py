"""A worker process that does as it is told: a line of JSON in, a line of JSON out.

    {"code": "up.pick().id"}  ->  {"value": "a:1"}  or  {"error": "ConfigError", "text": "..."}

What is no expression is executed; names stay.  It ends with its input, in order, or by an alarm.
"""

import json
import signal
import sys

import lbcore

LIFE = 120  # seconds


def answer(code, names):
    """What the reply says."""
    try:
        try:
            compiled = compile(code, "<told>", "eval")
        except SyntaxError:
            exec(compile(code, "<told>", "exec"), names)
            return {"value": None}
        return {"value": eval(compiled, names)}
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)}


def main():
    signal.alarm(LIFE)
    names = {"lbcore": lbcore}
    print(json.dumps({"value": "ready"}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line)["code"], names)), flush=True)


if __name__ == "__main__":
    main()
