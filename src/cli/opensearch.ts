/** The options of a connection to OpenSearch, as every command that has them reads them. */
import type { Access } from '../opensearch/connection.ts';
import { shownUrl } from '../printable.ts';
import type { Arguments } from './command.ts';
import { text } from './read.ts';
import { say } from './terminal.ts';

/** How to speak to the server at `url`. Says it on stderr when nobody checks who that is. */
export function accessOf(args: Arguments, url: string): Access {
  const insecure = args['insecure'] === true;
  if (insecure) say(`note: --insecure: whoever answers at ${shownUrl(url)} is trusted`);
  return {
    url,
    awsSigv4: args['aws-sigv4'] === true,
    region: text(args, 'region'),
    ca: text(args, 'ca'),
    insecure,
  };
}
