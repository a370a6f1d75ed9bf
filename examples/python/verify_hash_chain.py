#!/usr/bin/env python3
"""Checks the hash chain of accounts, with nothing but the standard library.

    chronicle history ALICE -o json | python3 verify_hash_chain.py

Reads events from standard input, one JSON object a line, from version 1 on; histories of several accounts may follow one
another. Prints one line per account. Exit code 1 at the first event that does not fit, 2 when the input is no history.
"""

import hashlib
import json
import sys

FIRST = "0" * 64


def canonical(event):
    """RFC 8785, for these events: docs/wire.md says why the standard library's JSON is enough."""
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def fault(event, version, hash_before):
    """What is wrong with an event, if anything is."""
    if event["version"] != version + 1:
        return f"version {event['version']} follows upon version {version}"
    if event["prev_hash"] != hash_before:
        return f"prev_hash is {event['prev_hash']}, and the event before has {hash_before}"
    own = hashlib.sha256(canonical({name: value for name, value in event.items() if name != "hash"})).hexdigest()
    if event["hash"] != own:
        return f"hash is {event['hash']}, and the content gives {own}"
    return None


def main():
    heads = {}
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            account = event["account_id"]
            reason = fault(event, *heads.get(account, (0, FIRST)))
        except (ValueError, TypeError, KeyError) as error:
            print(f"line {number} is no event: {error!r}", file=sys.stderr)
            return 2
        if reason:
            print(f"{account} version {event['version']}: {reason}", file=sys.stderr)
            return 1
        heads[account] = (event["version"], event["hash"])
    if not heads:
        print("there were no events", file=sys.stderr)
        return 2
    for account, (version, head) in heads.items():
        print(f"{account}: {version} events, the chain holds, head {head}")
    return 0


sys.exit(main())
