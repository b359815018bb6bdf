// BullMQ on Redis.

import { readFileSync } from "node:fs";
import { Queue, Worker } from "bullmq";
import { counts, inPortions, mark, payload, serve, store } from "./agent.mjs";

const CONCURRENCY = 50;
const ROWS = 1000;
const { version } = JSON.parse(readFileSync(new URL("node_modules/bullmq/package.json", import.meta.url)));

const { hostname, port } = new URL(store);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
let queue, worker;

await serve({
  settings: {
    version,
    settings: `Node ${process.versions.node}; concurrency ${CONCURRENCY}, removeOnComplete; bulk by addBulk, ${ROWS} a call`,
  },
  async prepare() {},
  async open() {
    queue = new Queue("bench", { connection, defaultJobOptions: { removeOnComplete: true } });
    await queue.waitUntilReady();
  },
  enqueue: (number) => queue.add("deliver", payload(number)),
  enqueueMarked: (number) => queue.add("mark", payload(number)),
  enqueueBulk: (count) =>
    inPortions(count, ROWS, (some) => queue.addBulk(some.map((data) => ({ name: "deliver", data })))),
  async work() {
    const handle = async (job) => {
      if (job.name === "mark") mark(job.data.order_id);
      else counts.ran += 1;
    };
    worker = new Worker("bench", handle, { connection, concurrency: CONCURRENCY });
    worker.on("error", console.error);
  },
  stop: () => worker.close(),
});
