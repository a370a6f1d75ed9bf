#!/usr/bin/env python3
"""Publishes commands to the ledger with nats-py, and waits for their outcomes.

    python3 -m pip install nats-py
    python3 publish.py nats://127.0.0.1:4222 commands.ndjson

Each line of the file is one command. Accounts are opened first; with --shuffle the rest goes in any order, and with
--duplicates N each of them is published N times: the ledger gives every command one outcome all the same.
"""

import argparse
import asyncio
import collections
import json
import random

import nats


def subject_of(command):
    """A command goes under the account that is debited, or the only one."""
    return "ledger.commands." + (command.get("from_account_id") or command["account_id"])


async def publish(jetstream, commands, inbox):
    """JetStream acknowledges that it has a command; whether the ledger accepts it is said by the outcome."""
    waiting = collections.deque()
    for command in commands:
        waiting.append(
            asyncio.ensure_future(
                jetstream.publish(
                    subject_of(command),
                    json.dumps(command).encode(),
                    headers={"Chronicle-Reply-To": inbox},
                    timeout=30,
                )
            )
        )
        if len(waiting) >= 500:
            await waiting.popleft()
    await asyncio.gather(*waiting)


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("file")
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="publish in an order drawn from this seed")
    parser.add_argument("--duplicates", type=int, default=1, metavar="N", help="publish each command N times")
    arguments = parser.parse_args()

    with open(arguments.file, encoding="utf-8") as lines:
        commands = [json.loads(line) for line in lines if line.strip()]
    opening = [command for command in commands if command["type"] == "create_account"]
    rest = [command for command in commands if command["type"] != "create_account"] * arguments.duplicates
    if arguments.shuffle is not None:
        random.Random(arguments.shuffle).shuffle(rest)

    connection = await nats.connect(arguments.url)
    jetstream = connection.jetstream()
    outcomes = {}
    answers = 0
    complete = asyncio.Event()

    async def heard(message):
        nonlocal answers
        outcome = json.loads(message.data)
        first = outcomes.setdefault(outcome["command_id"], outcome)
        assert first == outcome, f"two different outcomes: {first} and {outcome}"
        answers += 1
        if answers >= len(opening) + len(rest):
            complete.set()

    inbox = connection.new_inbox()
    await connection.subscribe(inbox, cb=heard)
    await publish(jetstream, opening, inbox)
    await publish(jetstream, rest, inbox)
    await asyncio.wait_for(complete.wait(), 120)
    await connection.close()

    counts = collections.Counter(
        outcome["rejection"]["code"] if outcome["status"] == "rejected" else "accepted"
        for outcome in outcomes.values()
    )
    print(json.dumps({"commands": len(outcomes), "answers": answers, "outcomes": counts}))


asyncio.run(main())
