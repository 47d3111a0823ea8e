import { DuckDBInstance } from '@duckdb/node-api';
const db = await (await DuckDBInstance.create()).connect();
for (const q of process.argv.slice(2)) console.log((await db.runAndReadAll(q)).getRowObjects());
