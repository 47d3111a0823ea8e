// Writes the JSON Schema of taxiflow.config.json from the built options.
import { writeFileSync } from 'node:fs';
import { configSchema } from '../dist/cli/config-schema.js';

const path = new URL('../dist/taxiflow.config.schema.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(configSchema(), null, 2)}\n`);
