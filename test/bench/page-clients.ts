/** As many open pages as asked for: each loads the history and listens. Says "open" when all do; ends with its stdin. */
import { get } from 'node:http';

const [url, pages] = process.argv.slice(2);
process.stdin.resume().on('end', () => process.exit());

function opened(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(new URL(path, url), { agent: false, headers: { 'accept-encoding': 'gzip' } }, (response) => {
      response.resume();
      response.on('error', () => {});
      // The history ends, the events go on.
      if (path.startsWith('/api/events')) response.once('data', () => resolve());
      else response.once('end', resolve);
    }).on('error', reject);
  });
}

await Promise.all(
  Array.from({ length: Number(pages) }, async () => {
    await opened('/api/history');
    await opened('/api/events');
  }),
);
process.stdout.write('open\n');
