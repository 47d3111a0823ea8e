/** The options of a connection to OpenSearch, as every command that has them reads them. */
import type { Access } from '../opensearch/connection.ts';
import { shownUrl } from '../printable.ts';
import type { openSearchAccess } from './commands/shared.ts';
import type { Values } from './options.ts';
import { say } from './terminal.ts';

/** How to speak to the server at `url`. Says it on stderr when nobody checks who that is. */
export function accessOf(
  args: Values<typeof openSearchAccess> & { readonly region: string | undefined },
  url: string,
): Access {
  const { awsSigv4, region, ca, insecure } = args;
  if (insecure) say(`note: --insecure: whoever answers at ${shownUrl(url)} is trusted`);
  return { url, awsSigv4, region, ca, insecure };
}
