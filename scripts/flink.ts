// A cluster of Apache Flink for trying, on this machine alone, from Maven Central into the cache of the tests.
// Run: npm run flink   It needs a JDK of 17 and Maven; Ctrl-C stops it.
import { once } from 'node:events';
import { FLINK_VERSION, startFlink, withoutFlink } from '../test/services/flink.ts';

if (withoutFlink) {
  console.error(`Error: a cluster of Flink ${withoutFlink}`);
  process.exit(1);
}
const after: (() => unknown)[] = [];
const stopped = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
console.error(`starting Flink ${FLINK_VERSION} …`);
const flink = await startFlink({ after: (done) => after.push(done as () => unknown) });
console.error(`job manager and its page: ${flink.manager}`);
console.error(`try: taxiflow process --stream NAME --engine flink --flink-gateway ${flink.gateway}`);
// Scripts read this line.
console.log(flink.gateway);
await stopped;
for (const stop of after) await stop();
