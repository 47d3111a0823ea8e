/** Commands for this app and folder that a user can paste. */
import type { JobStatus } from './wire.ts';

const DEFAULT_FOLDER = '.taxiflow';

export function command(name: string, { app, dataDir, command: taxiflow }: JobStatus): string {
  const ofApp = app === null ? '' : ` --app ${quoted(app)}`;
  const inFolder = dataDir === DEFAULT_FOLDER ? '' : ` --data-dir ${quoted(dataDir)}`;
  return `“${taxiflow} ${name}${ofApp}${inFolder}”`;
}

/** The command that processes the stream of a job. */
export function processCommand(status: JobStatus): string {
  const stream = status.stream?.replace(/ \(.*\)$/, '');
  return command(stream === undefined ? 'process' : `process --stream ${quoted(stream)}`, status);
}

/** Quoted as one word for a shell, if necessary. */
function quoted(text: string): string {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
