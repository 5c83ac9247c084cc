// Runs one story: `node run.js NAME`. What it needs to know is in the variable STORY. What only the tests' harness can do, it
// asks for by a line on standard output, and reads the answer from standard input.

import { createInterface } from "node:readline";
import { Stage } from "./stage.js";

const given = JSON.parse(process.env.STORY);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the harness. */
async function ask(what, argument = null) {
  process.stdout.write(`@${JSON.stringify([what, argument])}\n`);
  return JSON.parse((await answers.next()).value);
}

const { default: story } = await import(`./stories/${process.argv[2]}.js`);
const stage = await Stage.open(given);
const began = Date.now();
let status = 0;
try {
  await story(stage, { ask, given, say: (text) => console.log(`  ${text}`) });
  stage.verify();
  console.log(`  ${process.argv[2]}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
} catch (error) {
  console.log(error.stack);
  await stage.failed();
  status = 1;
}
await stage.close();
process.exit(status);
