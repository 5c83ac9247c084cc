// Checks an AsyncAPI document with the official parser and renders it with the official generator: a page of its own,
// index.html, in the folder named.

import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { argv, exit } from 'node:process';
import { fileURLToPath } from 'node:url';

import Generator from '@asyncapi/generator';
import { Parser } from '@asyncapi/parser';

if (argv.length !== 4) {
  console.error('usage: node render.js DOCUMENT FOLDER');
  exit(2);
}
const [path, folder] = argv.slice(2);
const installed = (name) => fileURLToPath(new URL(`node_modules/${name}`, import.meta.url));
const text = await readFile(path, 'utf8');

// 0 is an error, 1 a warning; the rest are hints, such as that a document could have a contact.
const { diagnostics } = await new Parser().parse(text, { source: path });
const complaints = diagnostics.filter((diagnostic) => diagnostic.severity <= 1);
for (const { code, message, path: place } of complaints) {
  console.error(`${code} at ${place.join('/')}: ${message}`);
}
if (complaints.length > 0) {
  exit(1);
}

// The template is compiled once, which takes most of the first minute: as it is published it looks for a file of the machine
// that compiled it.
const compiled = installed('.template-compiled');
// Named by its path: by its name the generator would look for it from the folder that it is run in, and install it.
const generator = new Generator(installed('@asyncapi/html-template'), folder, {
  forceWrite: true,
  compile: !existsSync(compiled),
  templateParams: { singleFile: 'true' },
});
await generator.generateFromString(text, { path });
await writeFile(compiled, '');
