/** The bytes of a watermark record (epoch ms). It names its shard for engines that can't see where a record came from. */
export function encodeWatermark(watermarkMs: number, shardId: string): Buffer {
  const watermark = new Date(watermarkMs).toISOString();
  return Buffer.from(`${JSON.stringify({ type: 'watermark', watermark, shard: shardId })}\n`);
}
