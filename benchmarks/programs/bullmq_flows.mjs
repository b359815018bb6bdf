// BullMQ's flows on Redis. A flow is a tree: each job has one parent, which waits for all its children.

import { readFileSync } from "node:fs";
import { FlowProducer, Worker } from "bullmq";
import { mark, serve, starts, store } from "./agent.mjs";

const CONCURRENCY = 50;
const { version } = JSON.parse(readFileSync(new URL("node_modules/bullmq/package.json", import.meta.url)));
const { hostname, port } = new URL(store);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const opts = { removeOnComplete: true };
let producer;

function job(name, number, children, queueName = "bench") {
  return { name, queueName, data: { number }, opts, children };
}

// Store a flow, then work on its queue until the job that waits for all others has ended.
async function run(flow) {
  for (const number of Object.keys(starts)) delete starts[number];
  const began = performance.now();
  await producer.add(flow);
  const stored = performance.now();
  const worker = new Worker("bench", async ({ name, data }) => void (name === "hop" && mark(data.number)), {
    connection,
    concurrency: CONCURRENCY,
  });
  worker.on("error", console.error);
  const last = flow.data.number;
  await new Promise((resolve) => worker.on("completed", ({ data }) => data.number === last && resolve()));
  const ended = performance.now();
  await worker.close();
  return { stored: (stored - began) / 1000, ran: (ended - stored) / 1000, starts: Object.values(starts) };
}

function chain(length) {
  let flow = job("hop", 0);
  for (let number = 1; number < length; number++) flow = job("hop", number, [flow]);
  return run(flow);
}

await serve({
  settings: { version, settings: `Node ${process.versions.node}, one process; concurrency ${CONCURRENCY}, removeOnComplete` },
  async prepare() {},
  async open() {
    producer = new FlowProducer({ connection });
    await producer.waitUntilReady();
    await chain(50); // what is slow once is not measured
  },
  async flows(count) {
    const one = (number, children) => job("nothing", number, children, "unserved");
    for (let number = 0; number < count; number++) {
      await producer.add(one(number, [one(number, [one(number)]), one(number)]));
    }
  },
  chain,
  fan: (width) => run(job("nothing", -1, Array.from({ length: width }, (_, number) => job("nothing", number)))),
});
