/** Where Kinesis is asked, if not at Amazon: what was given, or what the SDK's own environment variables say. */
export function kinesisEndpoint(given: string | undefined): string | undefined {
  return given ?? process.env['AWS_ENDPOINT_URL_KINESIS'] ?? process.env['AWS_ENDPOINT_URL'];
}
