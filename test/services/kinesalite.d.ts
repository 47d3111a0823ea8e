declare module 'kinesalite' {
  import type { Server } from 'node:http';

  interface Options {
    createStreamMs?: number;
    updateStreamMs?: number;
    deleteStreamMs?: number;
    shardLimit?: number;
  }
  // biome-ignore lint/style/noDefaultExport: it is what the package has
  export default function kinesalite(options?: Options): Server;
}
