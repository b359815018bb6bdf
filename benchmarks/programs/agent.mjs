// The counterpart of agent.py for programs in JavaScript: each verb is a line of JSON, and so is each answer.

import { createInterface } from "node:readline";

export const AT_ONCE = 64;
const WARM_UP = 20;
export const starts = {};
export const counts = { ran: 0 };

export const store = process.argv[2];

export function payload(number) {
  return { to: "ada.lovelace@example.com", order_id: number, note: "leave it with the neighbours, please" };
}

export function mark(number) {
  starts[number] = Number(process.hrtime.bigint()); // CLOCK_MONOTONIC, as Python's time.monotonic_ns
}

// Run `count` calls, `width` of them under way at any time.
export async function atOnce(count, width, call) {
  const some = async (first) => {
    for (let number = first; number < count; number += width) await call(number);
  };
  await Promise.all(Array.from({ length: width }, (_, first) => some(first)));
}

export async function inPortions(count, size, call) {
  for (let start = 0; start < count; start += size) {
    await call(Array.from({ length: Math.min(size, count - start) }, (_, place) => payload(start + place)));
  }
}

export async function timed(doing) {
  const started = performance.now();
  await doing();
  return { seconds: (performance.now() - started) / 1000 };
}

async function oneByOne(program, first, count) {
  for (let number = first; number < first + count; number++) await program.enqueue(number);
}

async function paced(program, { first, count, rate }) {
  const called = {};
  let due = performance.now();
  for (let number = first; number < first + count; number++) {
    due += ((0.5 + Math.random()) / rate) * 1000;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resume) => setTimeout(resume, wait));
    called[number] = Number(process.hrtime.bigint());
    await program.enqueueMarked(number);
  }
  return { called };
}

const VERBS = {
  prepare: async (program) => (await program.prepare(), program.settings),
  open: async (program) => (await program.open(), {}),
  one: async (program, { count }) => {
    await oneByOne(program, 0, WARM_UP);
    return timed(() => oneByOne(program, WARM_UP, count));
  },
  at_once: (program, { count }) => timed(() => atOnce(count, AT_ONCE, (number) => program.enqueue(number))),
  bulk: (program, { count }) => timed(() => program.enqueueBulk(count)),
  fill: (program, { count }) => timed(() => program.enqueueBulk(count)),
  paced,
  flows: (program, { count }) => timed(() => program.flows(count)),
  chain: (program, { length }) => program.chain(length),
  fan: (program, { width }) => program.fan(width),
};

export async function serve(program) {
  const answer = (value) => process.stdout.write(JSON.stringify(value) + "\n");
  console.log = console.info = console.error; // a library's lines must not come between the answers
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  answer({ ready: true });
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    const ask = JSON.parse(line.value);
    if (ask.verb === "work") {
      await program.work();
      await lines.next();
      await program.stop();
      answer({ starts, ran: counts.ran });
    } else {
      answer(await VERBS[ask.verb](program, ask));
    }
  }
  process.exit(0);
}
