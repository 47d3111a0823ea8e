/** A stream by its name or its ARN. */

/** The region in an ARN; a name has none. */
export function regionOfArn(stream: string): string | undefined {
  return stream.startsWith('arn:') ? stream.split(':')[3] : undefined;
}

/** The name users see, also when they gave an ARN. */
export function nameOf(stream: string): string {
  return `kinesis:${stream.replace(/^.*\//, '')}`;
}

/** The part of a request that names its stream. */
export function streamInput(stream: string): { StreamARN: string } | { StreamName: string } {
  return stream.startsWith('arn:') ? { StreamARN: stream } : { StreamName: stream };
}
