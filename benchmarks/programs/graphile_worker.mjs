// graphile-worker with localQueue and batched completion, as its page on performance tells.

import { readFileSync } from "node:fs";
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";
import { counts, inPortions, mark, payload, serve, store } from "./agent.mjs";

const CONCURRENCY = 24;
const LOCAL_QUEUE = 500;
const ROWS = 1000;
const { version } = JSON.parse(readFileSync(new URL("node_modules/graphile-worker/package.json", import.meta.url)));

const logger = new Logger(() => (level, message) => level === "error" && console.error(message));
const preset = {
  worker: {
    connectionString: store,
    concurrentJobs: CONCURRENCY,
    maxPoolSize: 10,
    pollInterval: 2000,
    localQueue: { size: LOCAL_QUEUE },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    logger,
  },
};

let utils, runner;

await serve({
  settings: {
    version,
    settings:
      `Node ${process.versions.node}; concurrentJobs ${CONCURRENCY}, localQueue.size ${LOCAL_QUEUE}, ` +
      `completeJobBatchDelay 0; bulk by addJobs, ${ROWS} a call; finished jobs are deleted, no history`,
  },
  async prepare() {
    await runMigrations({ preset });
  },
  async open() {
    utils = await makeWorkerUtils({ preset });
  },
  enqueue: (number) => utils.addJob("deliver", payload(number)),
  enqueueMarked: (number) => utils.addJob("mark", payload(number)),
  enqueueBulk: (count) =>
    inPortions(count, ROWS, (some) => utils.addJobs(some.map((each) => ({ identifier: "deliver", payload: each })))),
  async work() {
    runner = await run({
      preset,
      taskList: {
        deliver: async () => {
          counts.ran += 1;
        },
        mark: async ({ order_id }) => mark(order_id),
      },
    });
  },
  stop: () => runner.stop(),
});
