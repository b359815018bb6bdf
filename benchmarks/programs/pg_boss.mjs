// pg-boss with LISTEN and NOTIFY and batches that follow each other without a pause.

import { readFileSync } from "node:fs";
import { PgBoss } from "pg-boss";
import { inPortions, mark, payload, serve, store } from "./agent.mjs";

const BATCH = 500;
const ROWS = 1000;
const { version } = JSON.parse(readFileSync(new URL("node_modules/pg-boss/package.json", import.meta.url)));

const boss = new PgBoss({ connectionString: store, useListenNotify: true });
boss.on("error", console.error);

await serve({
  settings: {
    version,
    settings:
      `Node ${process.versions.node}; useListenNotify, batchSize ${BATCH}, burstWhenBatchFull, pollingIntervalSeconds ` +
      `0.5; bulk by insert, ${ROWS} a call`,
  },
  async prepare() {
    await boss.start();
    await boss.createQueue("deliver", { notify: true });
    await boss.createQueue("mark", { notify: true });
  },
  open: () => boss.start(),
  enqueue: (number) => boss.send("deliver", payload(number)),
  enqueueMarked: (number) => boss.send("mark", payload(number)),
  enqueueBulk: (count) =>
    inPortions(count, ROWS, (some) => boss.insert("deliver", some.map((data) => ({ data })))),
  async work() {
    const options = { batchSize: BATCH, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
    await boss.work("deliver", options, async () => {});
    await boss.work("mark", options, async (jobs) => jobs.forEach((job) => mark(job.data.order_id)));
  },
  stop: () => boss.stop({ graceful: true }),
});
