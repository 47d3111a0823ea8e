/** Host names of Amazon OpenSearch Service and its serverless collections. */

/** `NAME.REGION.es.amazonaws.com` (`.cn` in China) or `NAME.aos.REGION.on.aws`; collections have aoss or aoss-fips. */
const AMAZON =
  /\.(?<old>[a-z0-9-]+)\.(?:es|(?<oldAoss>aoss(?:-fips)?))\.amazonaws\.com(?:\.cn)?$|\.(?:aos|(?<aoss>aoss(?:-fips)?))\.(?<region>[a-z0-9-]+)\.on\.aws$/;

/** Whether the URL belongs to a serverless collection. */
export function isServerless(url: string): boolean {
  const { oldAoss, aoss } = AMAZON.exec(new URL(url).hostname)?.groups ?? {};
  return (oldAoss ?? aoss) !== undefined;
}

/** The region in a host name of Amazon; others have none. */
export function regionOfHost(host: string): string | undefined {
  const { old, region } = AMAZON.exec(host)?.groups ?? {};
  return old ?? region;
}
