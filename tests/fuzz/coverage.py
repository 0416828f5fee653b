#!/usr/bin/python3
"""Which lines of our sources the inputs of a fuzz target reach.

usage: coverage.py TARGET...

Runs the target of the coverage build (preset coverage) over its corpus and its regressions, and
asks gcov about the sources that the target is about; fails where less than GOAL % of a target's
lines ran. No line is left out, not even those that only a broken store would reach. A second figure
also counts what ./dev fuzz found interesting here (build/fuzz/grown).
"""
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build/coverage")
GOAL = 90

NOTES = {}

# What each target is about: the sources that take its input apart, check it, and decide what is taken
# and what is refused. Not those that only carry out what was taken (log, bus, lanes, indexes, other
# contexts), nor what writes answers, nor what stands under everything (memory, tables, text). Where a
# source does something else as well, the functions are named.
HTTP = "src/infra/http/"
API = "src/infra/api/"
INBOUND = "src/infra/inbound/"
APP = "src/app/"
DOMAIN = "src/domain/"
ABOUT = {
    "connection": [HTTP + name for name in (
        "answer.c", "body.c", "chunks.c", "conn.c", "fault.c", "head.c", "host.c", "input.c", "output.c",
        "parse.c", "request.c", "stream.c", "target.c", "wheel.c")],
    "body": [API + name for name in (
        "carts.c", "commands.c", "dead_letters.c", "letter_filter.c", "orders.c", "products.c",
        "shipments.c", "simulator_json.c", "simulators.c")] + [
            INBOUND + "address_in.c", INBOUND + "json_in.c"] + [APP + name for name in (
            "cart_commands.c", "change_settings.c", "checkout_cart.c", "dead_letter_commands.c",
            "order_commands.c", "place_order.c", "price_lines.c", "product_commands.c",
            "shipment_commands.c")] + [DOMAIN + name for name in (
                "cart.c", "currency.c", "ids.c", "order_decide_commands.c", "product.c")],
    "query": [API + name for name in (
        "api.c: api_on_headers check_query send_not_allowed send_options what_it_knows", "call.c", "filters.c", "letter_filter.c", "lists.c", "order_reads.c", "routes.c")] + [
            HTTP + "target.c", APP + "event_queries.c", APP + "order_watch.c", APP + "queries.c"],
    "key": [API + "api.c: api_on_request check_accept check_access delayed_fire method_is_safe now_ms_of "
            "send_unauthorized tell_failures", API + "fields.c", INBOUND + "media.c", APP + "command.c", APP + "idempotency.c"],
    "last_event_id": [API + "filters.c", API + "streams.c", APP + "feed.c", HTTP + "stream.c"],
    "messages": [API + name for name in (
        "cloud_messages.c", "message_batch.c", "messages.c")] + [INBOUND + name for name in (
            "cloud_in.c", "json_in.c", "message_in.c", "payload_in.c", "proto_form.c")] + [
            "src/infra/render/proto_read.c", APP + "receive_message.c", DOMAIN + "order_decide_messages.c", DOMAIN + "order_hear.c",
            "src/base/timetext.c", "src/base/uri.c", "src/infra/render/percent.c: digit_of is_raw_text percent_decode unquote"],
    "rows": [APP + name for name in (
        "dead_letters.c: dead_letter_decode dead_letter_encode", "deferred_lane.c", "event_codec.c",
        "idempotency.c: stored_answer_decode stored_answer_encode", "message.c: message_of_row", "row_keys.c",
        "settings_codec.c", "snapshot_codec.c")],
    "config": [API + "access.c", "src/base/uri.c", "src/infra/options/nearest.c", "src/infra/options/read.c",
               "src/infra/options/table.c", "src/infra/options/value.c", "src/infra/relay/relay_url.c",
               "src/infra/relay/relays.c: broker_config_of check_name complain copy_text create_one read_secret "
               "relays_create set_topics set_url set_urls",
               "src/infra/secret/secret_file.c"],
}


def find_notes():
    """Where gcov finds what the compiler noted about each source."""
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            output = re.search(r" -o (\S+)\.o ", entry["command"]).group(1)
            NOTES[entry["file"]] = os.path.join(entry["directory"], output + ".gcno")


def run_target(target, inputs):
    """Runs the inputs; returns the folder with the counts."""
    counts = os.path.join(ROOT, "build/fuzz/coverage", target)
    shutil.rmtree(counts, ignore_errors=True)
    os.makedirs(counts)
    program = os.path.join(BUILD, "fuzz", f"fuzz_{target}")
    env = dict(os.environ, GCOV_PREFIX=counts, GCOV_PREFIX_STRIP="0")
    done = subprocess.run([program] + [i for i in inputs if os.path.exists(i)], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"{target}: failed:\n" + done.stdout.decode(errors="replace")[-300:])
    return counts


def count_lines(counts, source, functions):
    """(lines that ran, lines that can run, those that did not); functions: empty for all"""
    name = os.path.basename(source)
    notes = NOTES.get(source)
    if not notes or not os.path.exists(notes):
        sys.exit(f"{source}: no object in {BUILD}")
    beside = counts + notes
    os.makedirs(os.path.dirname(beside), exist_ok=True)
    shutil.copy(notes, beside)
    text = subprocess.run(["gcov", "--json-format", "--stdout", beside], check=True,
                          cwd=os.path.dirname(beside), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout
    lines = {}
    seen = set()
    for line in text.splitlines():
        for file in json.loads(line)["files"]:
            if os.path.basename(file["file"]) != name:
                continue
            for entry in file["lines"]:
                seen.add(entry.get("function_name"))
                if functions and entry.get("function_name") not in functions:
                    continue
                at = entry["line_number"]
                lines[at] = lines.get(at, 0) + entry["count"]
    unknown = set(functions) - seen
    if unknown:
        sys.exit(f"{source}: has no function {', '.join(sorted(unknown))}")
    missed = [at for at in sorted(lines) if lines[at] == 0]
    return len(lines) - len(missed), len(lines), missed


def measure(target, inputs, is_shown):
    """(lines that ran, lines that can run) of all sources of the target"""
    counts = run_target(target, inputs)
    ran = all_lines = 0
    for about in ABOUT[target]:
        source, _, names = about.partition(": ")
        a, b, missed = count_lines(counts, os.path.join(ROOT, source), names.split())
        ran += a
        all_lines += b
        if is_shown:
            shown = " ".join(str(at) for at in missed[:40]) + (" …" if len(missed) > 40 else "")
            print(f"  {100 * a / max(b, 1):5.1f} %  {a:4} of {b:4}  {about}  {shown}")
    return ran, all_lines


def main(targets):
    find_notes()
    table = []
    for target in targets:
        ours = [os.path.join(ROOT, path) for path in (
            f"tests/fuzz/corpus/{target}.txt", f"tests/fuzz/regressions/{target}")]
        grown = os.path.join(ROOT, f"build/fuzz/grown/{target}")
        print(f"{target}:")
        ran, all_lines = measure(target, ours, True)
        ran_grown = measure(target, ours + [grown], False)[0] if os.path.isdir(grown) else ran
        table.append((target, ran, ran_grown, all_lines))
    print()
    too_little = []
    for target, ran, ran_grown, all_lines in table:
        percent = 100 * ran / max(all_lines, 1)
        print(f"{target:14} {percent:5.1f} % of {all_lines:4} lines"
              f" ({100 * ran_grown / max(all_lines, 1):5.1f} % with what runs here found)")
        if percent < GOAL:
            too_little.append(target)
    if too_little:
        sys.exit(f"less than {GOAL} %: {', '.join(too_little)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
