"""Runs the Python snippets of the README of the package `realtime`, as they are printed, against a server.

Usage: readme.py URL KEY ok|error. The README is the one that pip installed with the package. Each snippet runs in a coroutine of
its own after the setup that the README calls `# Setup...`. What it prints, and what a second client hears meanwhile,
comes out as one JSON line a snippet.
"""

import asyncio
import importlib.metadata
import json
import re
import sys
import textwrap

from realtime import AsyncRealtimeClient, RealtimeSubscribeStates

URL, KEY = sys.argv[1:3]
# What the server says about replication: `ok` with a database, `error` without.
SYSTEM = sys.argv[3]

# The smallest corrections that let a snippet run at all, each with its reason. A correction whose text is gone fails.
CORRECTIONS = [
    ('REALTIME_URL = "ws://localhost:4000/websocket"', "REALTIME_URL = URL", "the URL of the server under test"),
    ('API_KEY = "1234567890"', "API_KEY = KEY", "a key that the server under test knows"),
    (
        "await channel.track({ 'user_id': 1 })",
        "await channel.subscribe()\nawait channel.track({ 'user_id': 1 })",
        "a channel can be tracked on only once it is joined",
    ),
    (
        "lambda new_presences: print(\"New users have joined: \", new_presences)",
        "lambda key, current, new_presences: print(\"New users have joined: \", new_presences)",
        "the package calls it with three arguments",
    ),
    (
        "lambda left_presences: print(\"Users have left: \", left_presences)",
        "lambda key, current, left_presences: print(\"Users have left: \", left_presences)",
        "the package calls it with three arguments",
    ),
]


def snippets():
    metadata = importlib.metadata.metadata("realtime")
    readme = metadata.get_payload() or metadata["Description"]
    heading, language, lines = "", None, []
    for line in readme.splitlines():
        fence = re.match(r"\s*```(\w*)", line)
        if fence and language is None:
            language, lines = fence[1], []
        elif fence:
            if language == "python":
                yield heading, textwrap.dedent("\n".join(lines)) + "\n"
            language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")


async def settle(condition, seconds=5.0):
    deadline = asyncio.get_event_loop().time() + seconds
    while not condition():
        if asyncio.get_event_loop().time() > deadline:
            raise TimeoutError("the expected did not come")
        await asyncio.sleep(0.01)


async def run(heading, code):
    printed, heard = [], []
    client, listener = AsyncRealtimeClient(URL, KEY), AsyncRealtimeClient(URL, KEY)
    scope = {
        "asyncio": asyncio,
        "client": client,
        "RealtimeSubscribeStates": RealtimeSubscribeStates,
        "URL": URL,
        "KEY": KEY,
        "print": lambda *words: printed.append(" ".join(str(word) for word in words)),
    }
    topic = "broadcast-test" if "http_send" in code else "".join(re.findall(r'client\.channel\(\s*"([^"]+)"', code)[:1])
    if topic:
        ear = listener.channel(topic)
        await ear.on_broadcast("some-event", lambda payload: heard.append(payload)).subscribe()
    if "client.channel" not in code and "channel." in code:
        scope["channel"] = client.channel("broadcast-test")
    for before, after, _reason in CORRECTIONS:
        if before in code:
            code = code.replace(before, after)
            used.add(before)
    if "async def main" in code:
        exec(code, scope)
        await scope["main"]()
    else:
        exec("async def snippet():\n" + textwrap.indent(code, "    ") + "\n    return locals()", scope)
        scope.update(await scope["snippet"]())
    if "send" in code:
        await settle(lambda: heard)
    if "track" in code:
        await settle(lambda: any("Online users" in line and "user_id" in line for line in printed))
    if "on_system" in code:
        await settle(lambda: printed or SYSTEM == "error")
    if "Connected!" in code or "Ready to receive" in code:
        await settle(lambda: printed)
    channels = sorted(channel.topic for channel in client.get_channels())
    print(json.dumps({"heading": heading, "printed": printed, "heard": heard, "channels": channels}, default=str), flush=True)
    await client.close()
    await listener.close()


used = set()


async def main():
    for heading, code in snippets():
        await run(heading, code)
    unused = [before for before, _, _ in CORRECTIONS if before not in used]
    print(json.dumps({"unused corrections": unused, "version": importlib.metadata.version("realtime")}), flush=True)


asyncio.run(asyncio.wait_for(main(), 60))
