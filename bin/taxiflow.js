#!/usr/bin/env node
import { existsSync } from 'node:fs';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  stop(
    `taxiflow needs Node.js 20.19 or newer, this is ${process.versions.node}`,
    'install a current Node.js',
  );
}
const built = new URL('../dist/cli/main.js', import.meta.url);
if (!existsSync(built)) {
  stop('taxiflow is not built yet', 'run "npm run build", or "npm run demo" or "npm test", which build it');
}
const { main } = await import(built);
await main(process.argv.slice(2));

function stop(message, hint) {
  process.stderr.write(`Error: ${message}\nTry: ${hint}\n`);
  process.exit(1);
}
