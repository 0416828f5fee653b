// The library 'cloudevents' as a program: a JSON request on stdin, its answer on stdout.
//
//   {"do": "decode", "messages": [{"binding": "HTTP", "headers": {…}, "body": "…"}, …]}
//       each message as the list of its events, as JSON; the library has validated every one
//   {"do": "encode", "binding": "HTTP", "mode": "binary", "events": [{…}, …]}
//       each event as the message {headers, body, key} that the library makes of it. "bytes": the data
//       are handed over as bytes. mode "batch", which the library does not write: its events in a list
//   {"do": "emit", "url": "…", "mode": "structured", "events": [{…}, …]}
//       each event sent by the library's own transport; what came back: {headers, body}
//
// The folder with its node_modules is the only argument.
"use strict";
const path = require("path");
const from = require("module").createRequire(path.join(path.resolve(process.argv[2]), "here.js"));
const lib = from("cloudevents");
const { CloudEvent, HTTP, Kafka } = lib;
const bindings = { HTTP, Kafka };

function valid(event) {
  if (!(event instanceof CloudEvent) || !event.validate()) throw new Error("no event");
  // Once more, by the constructor: it checks names and types of what validate() does not know.
  return JSON.parse(JSON.stringify(new CloudEvent(JSON.parse(JSON.stringify(event)), true)));
}

function decode({ messages }) {
  return messages.map(({ binding, ...message }) => {
    if (!bindings[binding].isEvent(message)) throw new Error("no event: " + JSON.stringify(message));
    const events = bindings[binding].toEvent(message);
    return (Array.isArray(events) ? events : [events]).map(valid);
  });
}

function made({ data, bytes, ...event }) {
  return new CloudEvent({ ...event, data: bytes ? Buffer.from(JSON.stringify(data)) : data });
}

function encode({ binding, mode, events }) {
  if (mode === "batch")
    return [{ headers: { "content-type": "application/cloudevents-batch+json" },
              body: JSON.stringify(events.map(made)) }];
  return events.map(made).map((event) => {
    const { headers, body, key } = bindings[binding][mode](event);
    const set = Object.entries(headers).filter(([, value]) => value !== undefined);
    return { headers: Object.fromEntries(set.map(([name, value]) => [name, String(value)])), key,
             body: typeof body === "string" ? body :
               Buffer.isBuffer(body) ? body.toString() : JSON.stringify(body) };
  });
}

async function emit({ url, mode, events }) {
  const send = lib.emitterFor(lib.httpTransport(url), { mode });
  const answers = [];
  for (const event of events.map(made)) answers.push(await send(event));
  return answers;
}

async function main() {
  const pieces = [];
  for await (const piece of process.stdin) pieces.push(piece);
  const request = JSON.parse(Buffer.concat(pieces).toString());
  const answer = await { decode, encode, emit }[request.do](request);
  process.stdout.write(JSON.stringify(answer));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
