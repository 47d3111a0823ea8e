/** Reads the options of a connection to OpenSearch, for every command that has them. */
import type { Access } from '../opensearch/connection.ts';
import { shownUrl } from '../printable.ts';
import type { openSearchAccess } from './commands/shared.ts';
import type { Values } from './options.ts';
import { say } from './terminal.ts';

/** How to connect to the server at `url`. Warns on stderr if its certificate is not verified. */
export function accessOf(
  args: Values<typeof openSearchAccess> & { readonly region: string | undefined },
  url: string,
): Access {
  const { awsSigv4, region, ca, insecure } = args;
  if (insecure) say(`note: --insecure: the certificate of ${shownUrl(url)} is not verified`);
  return { url, awsSigv4, region, ca, insecure };
}
