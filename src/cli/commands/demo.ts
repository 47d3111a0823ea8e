import { rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { systemClock } from '../../clock.ts';
export async function demo(): Promise<number> {
  rmSync;
  Readable;
  systemClock;
  return 0;
}
